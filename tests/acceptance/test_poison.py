"""Lines that break the process that reads them, several at once and among many good ones."""

import time
from collections.abc import Iterator

import pytest

from local.processes import wait_until
from paddlewheel import RECOGNIZE_TEXT, Client
from paddlewheel.errors import ModelCrashed, ModelFailed, ModelTimeout, PaddlewheelError
from tests.named_lines import Fault, draw_named
from tests.named_service import NamedService, named_service

POISONS = {
    20: (Fault.CRASH, ModelCrashed),
    47: (Fault.KILLED, ModelCrashed),
    48: (Fault.CRASH, ModelCrashed),
    90: (Fault.HANG, ModelTimeout),
    130: (Fault.RAISE, ModelFailed),
    131: (Fault.NO_MEMORY, ModelFailed),
}
LINES = 200


@pytest.fixture(scope="module")
def service() -> Iterator[NamedService]:
    """A worker with small batches: every halving costs the start of a process."""
    settings = {"PADDLEWHEEL_BATCH_TIMEOUT": "1", "PADDLEWHEEL_MAX_BATCH_SIZE": "2"}
    with named_service(1, **settings) as service:
        yield service


def test_each_of_several_poisons_fails_alone_and_every_neighbour_is_answered(service: NamedService) -> None:
    with Client(service.url) as client:
        faults = [POISONS[number][0] if number in POISONS else Fault.NONE for number in range(LINES)]
        refs = client.put_many([draw_named(number, fault) for number, fault in enumerate(faults)])
        began = time.monotonic()
        pendings = [client.enqueue(RECOGNIZE_TEXT, ref) for ref in refs]
        outcomes: list[str | type[PaddlewheelError]] = []
        for pending in pendings:
            try:
                outcomes.append(pending.result(120).rec_text)
            except PaddlewheelError as err:
                outcomes.append(type(err))
        assert outcomes == [
            POISONS[number][1] if number in POISONS else str(number) for number in range(LINES)
        ]
        print(f"{LINES} lines with {len(POISONS)} poisons in {time.monotonic() - began:.1f} s")


def test_one_of_two_devices_dies_and_a_leak_grows_while_the_other_serves_and_nothing_is_lost() -> None:
    settings = {
        "PADDLEWHEEL_DEVICE": "cpu,cpu",
        "PADDLEWHEEL_MODEL_MEMORY_LIMIT": "150",
        "PADDLEWHEEL_MAX_BATCH_SIZE": "2",
        "FAULTY_PACE": "0.01",
    }
    with named_service(1, **settings) as service, Client(service.url) as client:
        (worker,) = service.workers
        first, second = worker.model_processes()
        refs = client.put_many([draw_named(number) for number in range(200)])
        pendings = [client.enqueue(RECOGNIZE_TEXT, ref) for ref in refs]
        next(client.as_completed(pendings, timeout=60))
        service.weights_gone.touch()
        began = time.monotonic()
        first.kill()
        texts = [pending.result(120).rec_text for pending in pendings]
        assert texts == [str(number) for number in range(200)]
        print(f"the other device answered everything within {time.monotonic() - began:.1f} s")
        assert worker.ready
        assert second.is_running()
        service.weights_gone.unlink()
        assert wait_until(lambda: len(worker.model_processes()) == 2, 30)
        # Ten leaks of 32 MB are too much for two processes of 150 MB, whoever gets them.
        for number in range(30):
            leaking = client.enqueue(RECOGNIZE_TEXT, draw_named(number, Fault.LEAK))
            assert leaking.result(60).rec_text == str(number)
            if "replacing it" in worker.log.read_text():
                break
        assert wait_until(lambda: "was replaced without a pause" in worker.log.read_text(), 30)
        print(*(line for line in worker.log.read_text().splitlines() if "was replaced" in line), sep="\n")
        assert worker.ready


def test_a_line_that_takes_memory_without_end_is_stopped_within_its_batch_and_fails_alone() -> None:
    settings = {"PADDLEWHEEL_MODEL_MEMORY_MAX": "400", "PADDLEWHEEL_MAX_BATCH_SIZE": "2"}
    with named_service(1, **settings) as service, Client(service.url) as client:
        refs = client.put_many([draw_named(number) for number in range(100)])
        began = time.monotonic()
        runaway = client.enqueue(RECOGNIZE_TEXT, draw_named(1, Fault.RUNAWAY))
        pendings = client.enqueue_many(RECOGNIZE_TEXT, refs)
        greedy = client.enqueue(RECOGNIZE_TEXT, draw_named(2, Fault.GREEDY))
        assert [pending.result(60).rec_text for pending in pendings] == [str(number) for number in range(100)]
        with pytest.raises(ModelCrashed, match="was stopped: it took"):
            runaway.result(60)
        with pytest.raises(ModelFailed, match="MemoryError"):
            greedy.result(60)
        print(f"everything answered {time.monotonic() - began:.1f} s after a line began to take memory")


def test_a_hung_model_costs_its_neighbours_one_deadline(service: NamedService) -> None:
    with Client(service.url) as client:
        began = time.monotonic()
        hung = client.enqueue(RECOGNIZE_TEXT, draw_named(1, Fault.HANG))
        behind = [client.enqueue(RECOGNIZE_TEXT, draw_named(number)) for number in range(20)]
        assert [pending.result(60).rec_text for pending in behind] == [str(number) for number in range(20)]
        with pytest.raises(ModelTimeout):
            hung.result(60)
        print(f"answered {time.monotonic() - began:.1f} s after a model hung, with a deadline of 1 s")
