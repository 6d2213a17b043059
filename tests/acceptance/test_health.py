"""What a worker tells its supervisor: that it takes tasks, and that it is not stuck, are two things."""

import os
import signal
import time

import pytest

from local.processes import wait_until
from paddlewheel import RECOGNIZE_TEXT, Client
from paddlewheel.errors import ModelUnavailable
from tests.named_lines import Fault, draw_named
from tests.named_service import named_service


def test_a_worker_is_ready_while_it_takes_tasks_and_live_while_its_loop_turns() -> None:
    with named_service(1, PADDLEWHEEL_LIVENESS_TIMEOUT="2") as service, Client(service.url) as client:
        (worker,) = service.workers
        assert worker.health() == worker.health("--ready") == worker.health("--live") == 0
        service.valkey.kill()
        assert wait_until(lambda: not worker.ready, 10)
        assert worker.process.poll() is None
        assert wait_until(lambda: worker.health("--live") == 1, 20)
        began = time.monotonic()
        service.restart_valkey()
        assert wait_until(lambda: worker.ready, 30)
        print(f"ready {time.monotonic() - began:.1f} s after the broker came back")
        assert worker.health() == 0
        assert client.enqueue(RECOGNIZE_TEXT, draw_named(4)).result(30).rec_text == "4"
        os.kill(worker.process.pid, signal.SIGSTOP)
        assert wait_until(lambda: worker.health("--live") == 1, 20)
        assert worker.health("--ready") == 0
        os.kill(worker.process.pid, signal.SIGCONT)
        assert wait_until(lambda: worker.health("--live") == 0, 20)
        worker.process.terminate()
        assert worker.process.wait(30) == 0
        assert worker.health("--ready") == worker.health("--live") == 1


def test_a_worker_without_a_model_process_takes_no_tasks_until_it_has_one() -> None:
    with named_service(1) as service, Client(service.url) as client:
        (worker,) = service.workers
        service.weights_gone.touch()
        with pytest.raises(ModelUnavailable):
            client.enqueue(RECOGNIZE_TEXT, draw_named(1, Fault.CRASH)).result(60)
        assert wait_until(lambda: not worker.ready, 10)
        assert worker.health("--live") == 0
        waiting = [client.enqueue(RECOGNIZE_TEXT, draw_named(number)) for number in range(5)]
        # Failing them would be quick; that they are still queued after its next try is the point.
        tries = worker.log.read_text().count("weights have gone")
        assert wait_until(lambda: worker.log.read_text().count("weights have gone") > tries, 30)
        assert [client.status(pending.task_id).state for pending in waiting] == ["queued"] * 5
        began = time.monotonic()
        service.weights_gone.unlink()
        assert [pending.result(30).rec_text for pending in waiting] == ["0", "1", "2", "3", "4"]
        print(f"answered {time.monotonic() - began:.1f} s after the weights came back")
        assert wait_until(lambda: worker.ready, 10)
