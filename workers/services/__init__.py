"""What tasks call: text, faces, pictures and galleries over batched models."""
