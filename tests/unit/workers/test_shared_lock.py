"""The lock that threads share or hold alone."""

import threading
import time
from contextlib import ExitStack

from workers.consumer.shared_lock import SharedExclusiveLock

SECONDS = 20


class Runner:
    """Holds the lock in a thread of its own until it is released."""

    def __init__(self, lock: SharedExclusiveLock, *, exclusive: bool) -> None:
        self.began = threading.Event()
        self._end = threading.Event()
        self._hold = lock.exclusive if exclusive else lock.shared
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def release(self) -> None:
        self._end.set()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with self._hold():
            self.began.set()
            self._end.wait(SECONDS)


def test_any_number_share_the_lock() -> None:
    lock = SharedExclusiveLock()
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(lock.shared())


def test_an_exclusive_request_waits_for_the_sharing_threads_and_goes_before_later_ones() -> None:
    lock = SharedExclusiveLock()
    first = Runner(lock, exclusive=False)
    assert first.began.wait(SECONDS)
    alone = Runner(lock, exclusive=True)
    deadline = time.monotonic() + SECONDS
    while not lock._exclusive_waiting:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    later = Runner(lock, exclusive=False)
    assert not alone.began.wait(0.05)
    assert not later.began.is_set()
    first.release()
    assert alone.began.wait(SECONDS)
    assert not later.began.wait(0.05)
    alone.release()
    assert later.began.wait(SECONDS)
    later.release()


def test_exclusive_holders_run_one_after_the_other() -> None:
    lock = SharedExclusiveLock()
    inside, most = 0, 0

    def run() -> None:
        nonlocal inside, most
        with lock.exclusive():
            inside += 1
            most = max(most, inside)
            inside -= 1

    threads = [threading.Thread(target=run) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert (inside, most) == (0, 1)
    with lock.shared():
        pass
