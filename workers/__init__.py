"""The worker: takes tasks from the queue and runs vision models on them in batches."""
