"""Who runs beside whom."""

import threading
import time
from contextlib import ExitStack

from workers.consumer.shared_lock import SharedExclusiveLock

SECONDS = 20


class Runner:
    """Takes a turn in a thread of its own, and ends when it is let go."""

    def __init__(self, turns: SharedExclusiveLock, *, alone: bool) -> None:
        self.began = threading.Event()
        self._end = threading.Event()
        self._turn = turns.alone if alone else turns.in_company
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def let_go(self) -> None:
        self._end.set()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with self._turn():
            self.began.set()
            self._end.wait(SECONDS)


def test_any_number_run_in_company() -> None:
    turns = SharedExclusiveLock()
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(turns.in_company())


def test_one_alone_waits_for_the_others_and_goes_before_those_that_come_later() -> None:
    turns = SharedExclusiveLock()
    first = Runner(turns, alone=False)
    assert first.began.wait(SECONDS)
    alone = Runner(turns, alone=True)
    deadline = time.monotonic() + SECONDS
    while not turns._wanting:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    later = Runner(turns, alone=False)
    assert not alone.began.wait(0.05)
    assert not later.began.is_set()
    first.let_go()
    assert alone.began.wait(SECONDS)
    assert not later.began.wait(0.05)
    alone.let_go()
    assert later.began.wait(SECONDS)
    later.let_go()


def test_those_who_are_alone_run_one_after_the_other() -> None:
    turns = SharedExclusiveLock()
    inside, most = 0, 0

    def run() -> None:
        nonlocal inside, most
        with turns.alone():
            inside += 1
            most = max(most, inside)
            inside -= 1

    threads = [threading.Thread(target=run) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert (inside, most) == (0, 1)
    with turns.in_company():
        pass
