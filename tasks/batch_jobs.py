"""Shards of batch jobs."""

from paddlewheel.contracts.batch_jobs import RUN_SHARD, RanShard, RunShard
from tasks.binding import task
from tasks.context import TaskContext
from tasks.resources import resources


@task(RUN_SHARD)
def run_shard(request: RunShard, context: TaskContext) -> RanShard:
    """Some lines of a manifest."""
    return resources().batch_jobs.run(request, context)
