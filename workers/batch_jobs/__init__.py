"""Batch jobs on a worker: shards of a manifest run here, and one worker conducts all jobs."""
