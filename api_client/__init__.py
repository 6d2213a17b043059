"""Paddlewheel's client: put an image, enqueue a task, get a typed result."""
