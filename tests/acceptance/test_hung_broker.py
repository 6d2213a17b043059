"""A broker that hangs without closing a connection: stopped (SIGSTOP) under load, and let go on."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis import Redis

from local.processes import wait_until
from paddlewheel import RECOGNIZE_TEXT, Client
from paddlewheel.client import Pending
from paddlewheel.contracts.text import RecognizedText
from paddlewheel.errors import BrokerUnavailable, ResultTimeout
from tests.named_lines import draw_named
from tests.named_service import NamedService, named_service

LINES = 300
TIMEOUT = 1.0
"""Seconds; the workers' PADDLEWHEEL_BROKER_TIMEOUT, and the callers' by their URL."""


@pytest.fixture(scope="module")
def service() -> Iterator[NamedService]:
    settings = {"PADDLEWHEEL_BROKER_TIMEOUT": str(TIMEOUT), "PADDLEWHEEL_VISIBILITY_TIMEOUT": "4"}
    with named_service(2, FAULTY_PACE="0.05", PADDLEWHEEL_MAX_BATCH_SIZE="8", **settings) as service:
        yield service


@contextmanager
def hung(service: NamedService) -> Iterator[None]:
    """The broker's process stopped: its connections stay open, and nothing comes."""
    process = service.valkey.status().process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def patience(pending: Pending[RecognizedText], timeout: float) -> float:
    """How long `result(timeout)` really takes."""
    asked = time.monotonic()
    with pytest.raises(ResultTimeout):
        pending.result(timeout)
    return time.monotonic() - asked


def test_a_broker_that_hangs_under_load_and_recovers_costs_no_answer(service: NamedService) -> None:
    with Client(f"{service.url}?socket_timeout={TIMEOUT}") as client:
        refs = client.put_many([draw_named(number) for number in range(LINES)])
        pendings = [client.enqueue(RECOGNIZE_TEXT, ref) for ref in refs]
        next(client.as_completed(pendings, timeout=60))
        with hung(service):
            began = time.monotonic()
            # Workers notice, and say so.
            for worker in service.workers:
                assert wait_until(lambda worker=worker: not worker.ready, 30)  # type: ignore[misc]
            noticed = time.monotonic() - began
            waits = [patience(pendings[-1], 0.5)]
            with Client(f"{service.url}?socket_timeout=0.2") as late:
                # Its first question finds nobody to subscribe with.
                waits.append(patience(late.pending(RECOGNIZE_TEXT, pendings[-1].task_id), 0.5))
                with pytest.raises(BrokerUnavailable):
                    late.enqueue(RECOGNIZE_TEXT, refs[0])
            assert max(waits) < 0.5 + 2 * TIMEOUT, waits
        went_on = time.monotonic()
        assert [pending.result(60).rec_text for pending in pendings] == [str(n) for n in range(LINES)]
        answered = time.monotonic() - went_on
        for worker in service.workers:
            assert wait_until(lambda worker=worker: worker.ready, 30)  # type: ignore[misc]
            assert worker.process.poll() is None
        with Redis.from_url(service.url) as redis:
            assert wait_until(lambda: not redis.hlen("unacked") and not redis.llen("gpu"), 30)
    print(f"noticed after {noticed:.1f} s; everything answered {answered:.1f} s after the broker went on")
