"""What crosses the queue: each task's name, queue, request and result, one module a family."""
