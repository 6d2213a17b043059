"""Child processes: shared memory, framed messages and an end with the parent."""
