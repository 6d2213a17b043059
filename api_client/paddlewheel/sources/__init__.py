"""What a caller has: images in any form, lists of labels, addresses. From that to bytes."""
