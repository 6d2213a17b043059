"""Workers that are asked to stop while they work: everything is answered, and they end in the stated time."""

import os
import shutil
import signal
import subprocess
import time

import psutil
import pytest
from redis import Redis

from local.processes import wait_until
from paddlewheel import RECOGNIZE_TEXT, Client
from tests.named_lines import Fault, draw_named
from tests.named_service import NamedService, NamedWorker, named_service
from workers.consumer.shutdown import GRACE


def ended_in(worker: NamedWorker, seconds: float) -> float:
    """Wait for its end; how long that took."""
    began = time.monotonic()
    assert worker.process.wait(seconds) == 0
    return time.monotonic() - began


def test_sigterm_under_load_finishes_what_runs_and_leaves_the_rest_to_the_other_worker() -> None:
    with named_service(2, FAULTY_PACE="0.03") as service, Client(service.url) as client:
        first, second = service.workers
        refs = client.put_many([draw_named(number) for number in range(200)])
        pendings = [client.enqueue(RECOGNIZE_TEXT, ref) for ref in refs]
        next(client.as_completed(pendings, timeout=60))
        first.process.send_signal(signal.SIGTERM)
        taken = ended_in(first, 25 + GRACE)
        assert not first.ready
        assert second.ready
        answers = [pending.result(60) for pending in pendings]
        assert [answer.rec_text for answer in answers] == [str(number) for number in range(200)]
        with Redis.from_url(service.url) as redis:
            assert wait_until(lambda: not redis.hlen("unacked") and not redis.llen("gpu"), 10)
        print(f"ended {taken:.1f} s after SIGTERM")


def test_a_task_that_takes_too_long_is_answered_by_another_worker_at_once() -> None:
    cases = {
        "SIGTERM, and the time is up": ((signal.SIGTERM,), 1.0),
        "SIGTERM twice": ((signal.SIGTERM, signal.SIGTERM), 600.0),
        "SIGQUIT": ((signal.SIGQUIT,), 600.0),
    }
    with NamedService(PADDLEWHEEL_VISIBILITY_TIMEOUT="600") as service, Client(service.url) as client:
        stopped = service.start_worker(PADDLEWHEEL_SHUTDOWN_TIMEOUT="1").wait_ready()
        for case, (signals, timeout) in cases.items():
            service.flag.unlink(missing_ok=True)
            pending = client.enqueue(RECOGNIZE_TEXT, draw_named(7, Fault.SLOW_ONCE))
            assert wait_until(service.flag.exists, 30)
            other = service.start_worker(PADDLEWHEEL_SHUTDOWN_TIMEOUT="600").wait_ready()
            asked = time.monotonic()
            for each in signals:
                stopped.process.send_signal(each)
                assert wait_until(lambda worker=stopped: not worker.ready, 10)  # type: ignore[misc]
            ended_in(stopped, min(timeout, 1.0) + GRACE + 5)
            ended = time.monotonic() - asked
            assert pending.result(20).rec_text == "7"
            print(f"{case}: ended after {ended:.1f} s, answered after {time.monotonic() - asked:.1f} s")
            assert service.flag.read_text() == "xx"
            stopped = other


def test_sigterm_while_the_models_load_ends_the_worker_at_once() -> None:
    with NamedService(FAULTY_LOAD_SECONDS="60") as service:
        worker = service.start_worker()
        assert wait_until(lambda: bool(worker.model_processes()), 30)
        (model,) = worker.model_processes()
        worker.process.send_signal(signal.SIGTERM)
        ended_in(worker, 5)
        assert wait_until(lambda: not model.is_running(), 5)


def test_a_worker_that_is_process_1_of_a_container_stops_as_well() -> None:
    unshare = shutil.which("unshare")
    wrapper = (unshare or "unshare", "--pid", "--fork", "--mount-proc")
    if unshare is None or subprocess.run([*wrapper, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system does not let us make a process namespace")
    with NamedService() as service, Client(service.url) as client:
        worker = service.start_worker(*wrapper).wait_ready()
        assert client.enqueue(RECOGNIZE_TEXT, draw_named(5)).result(30).rec_text == "5"
        (first,) = psutil.Process(worker.process.pid).children()
        os.kill(first.pid, signal.SIGTERM)
        ended_in(worker, 10)
