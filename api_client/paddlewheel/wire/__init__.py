"""What travels between client and workers: messages, records, addresses, and the wait for results."""
