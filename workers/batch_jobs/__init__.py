"""The worker's part in batch jobs: manifests, shards, result files and their scheduler."""
