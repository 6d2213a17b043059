"""The queue of the batcher, without threads."""

from concurrent.futures import Future

import numpy as np

from paddlewheel.contracts.base import Priority
from tasks.context import TaskContext
from workers.inference.batch_queue import BatchingOptions, BatchQueue
from workers.inference.items import BULK_PATIENCE, BatchItem


def item(number: int, *, arrived: float, width: int = 2, priority: Priority = "interactive") -> BatchItem:
    tensors = (np.zeros((3, width), np.float32),)
    return BatchItem(number, "m", tensors, TaskContext(task_id="t", priority=priority), arrived, Future())


def queue(*items: BatchItem) -> BatchQueue:
    made = BatchQueue(BatchingOptions(max_batch_size=2, max_wait_time=1.0))
    for each in items:
        made.append(each)
    return made


def test_a_full_bucket_is_ready_at_once_and_another_one_when_its_host_is_idle_and_time_is_up() -> None:
    single, pair = item(1, arrived=0), [item(2, arrived=0, width=9), item(3, arrived=0, width=9)]
    assert queue(single, *pair).choose(0.5, idle=False, closing=False)[0] == pair[0].bucket
    assert queue(single).choose(0.5, idle=True, closing=False) == (None, 0.5)
    assert queue(single).choose(0.5, idle=False, closing=False) == (None, None)
    assert queue(single).choose(1.0, idle=True, closing=False)[0] == single.bucket
    assert queue(single).choose(0.5, idle=True, closing=True)[0] == single.bucket


def test_interactive_items_overtake_bulk_items_for_a_while() -> None:
    bulk = item(1, arrived=0, priority="bulk")
    soon, late = item(2, arrived=BULK_PATIENCE / 2), item(3, arrived=BULK_PATIENCE * 2)
    waiting = queue(bulk, soon, late)
    assert [each.id for each in waiting.take(bulk.bucket)] == [2, 1]
    assert [each.id for each in waiting.take(bulk.bucket)] == [3]
    assert waiting.pending == 0


def test_a_batch_that_is_put_back_comes_first_and_in_its_order() -> None:
    waiting = queue(*(item(number, arrived=0) for number in range(3)))
    first = waiting.take(item(9, arrived=0).bucket)
    waiting.put_back(first)
    assert waiting.pending == 3
    assert waiting.take(first[0].bucket) == first
