"""Gateways and workers are killed while clients run the manual's sample: at most a request is sent again."""

import base64
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import requests

from local.processes import wait_until
from tests.acceptance.gateway.killable_service import GATEWAYS, WORKERS, KillableService, killable_service
from tests.data.people import BIDEN, COLLINS, OBAMA, jpeg, load_photograph, portraits

STEPS = ("index-build", "index-add", "index-remove", "infer")
VICTIMS = ("worker-1", "gateway-1", "gateway-2", "worker-2")
SECONDS = 60.0

FACES = {
    name: base64.b64encode(jpeg(load_photograph(path, 240))).decode()
    for name, path in (
        ("obama", portraits(OBAMA)[0]),
        ("biden", portraits(BIDEN)[0]),
        ("collins", portraits(COLLINS)[0]),
        ("obama again", portraits(OBAMA)[1]),
    )
}
IN_THE_END = {"0": "obama", "2": "collins", "3": "obama again"}


def pairs(*names: str) -> list[dict[str, str]]:
    return [{"image": FACES[name], "label": name} for name in names]


class SampleClient:
    """Runs the sample; asks the other gateway when one breaks off. It holds before the step `held`."""

    def __init__(self, gateways: list[str], held: str) -> None:
        self._gateways = gateways
        self._held = held
        self._go = threading.Event()
        self.holding = threading.Event()
        self.repeats: dict[str, int] = {}
        self.held_until = 0.0

    def go(self) -> None:
        """Let it take the step that it is held before."""
        self._go.set()

    def run(self) -> None:
        """The sample's four steps. Every answer has to be right."""
        built = self._ask("index-build", imageLabelPairs=pairs("obama", "biden", "collins"))
        assert built["idMap"] == {"0": "obama", "1": "biden", "2": "collins"}
        index = {"indexKey": built["indexKey"]}
        added = self._ask("index-add", imageLabelPairs=pairs("obama again"), **index)
        assert added["idMap"] == built["idMap"] | {"3": "obama again"}
        removed = self._ask("index-remove", ids=[1], **index)
        assert (removed["idMap"], removed["imageCount"]) == (IN_THE_END, 3)
        found = self._ask("infer", image=FACES["obama again"], topk=1, **index)
        assert [face["recResults"][0]["label"] for face in found["faces"]] == ["obama again"]
        assert base64.b64decode(found["image"]).startswith(b"\xff\xd8")

    def _ask(self, step: str, **fields: Any) -> dict[str, Any]:
        if step == self._held:
            self.holding.set()
            assert self._go.wait(SECONDS)
        self.repeats[step] = 0
        while True:
            try:
                answer = requests.post(
                    f"{self._gateways[0]}/face-recognition-{step}", json=fields, timeout=SECONDS
                )
            except requests.ConnectionError:
                self.repeats[step] += 1
                assert self.repeats[step] == 1, f"{step} was sent three times"
                self._gateways = self._gateways[::-1]
                continue
            if step == self._held:
                self.held_until = time.monotonic()
            envelope = answer.json()
            assert (answer.status_code, envelope["errorCode"], envelope["errorMsg"]) == (200, 0, "Success")
            result: dict[str, Any] = envelope["result"]
            return result


def kill_in_the_middle(service: KillableService, victim: str) -> tuple[list[SampleClient], float]:
    """One client in each step of the sample when the victim is killed; how long it took all to go on."""
    killed = service.members[victim]
    needed = GATEWAYS if victim in GATEWAYS else (*GATEWAYS, *WORKERS)
    service.await_ready(*(service.members[name] for name in needed))
    gateways = sorted(service.gateways, key=lambda address: address != killed.service.address)
    clients = [SampleClient(gateways, step) for step in STEPS]
    with ThreadPoolExecutor(len(clients)) as pool:
        runs: list[Future[None]] = [pool.submit(client.run) for client in clients]
        for client, run in zip(clients, runs, strict=True):
            assert wait_until(lambda c=client, r=run: c.holding.is_set() or r.done(), SECONDS)  # type: ignore[misc]
        assert wait_until(lambda: service.under_way() == 0, SECONDS)
        service.suspend(*service.workers)
        for client in clients:
            client.go()
        sent = wait_until(lambda: service.under_way() >= len(clients) or any(r.done() for r in runs), SECONDS)
        assert sent, (service.waiting(), service.under_way())
        others = [worker for worker in service.workers if worker is not killed]
        if len(others) == 1:
            # It has taken all that it takes at once.
            before = service.waiting()
            service.resume(killed)
            assert wait_until(lambda: service.waiting() < before or service.under_way() == 0, SECONDS)
        killed.kill()
        began = time.monotonic()
        service.resume(*others)
        if victim != VICTIMS[-1]:
            service.start_again(killed)
        for run in runs:
            run.result(SECONDS)
    return clients, max(client.held_until for client in clients) - began


@pytest.fixture(scope="module")
def service() -> Any:
    with killable_service() as service:
        yield service


def test_clients_send_at_most_one_request_again_and_nothing_is_stored_twice(service: KillableService) -> None:
    for victim in VICTIMS:
        clients, seconds = kill_in_the_middle(service, victim)
        print(f"{victim} killed: every step was answered within {seconds:.1f} s")
        # A gateway's clients notice its end, a worker's do not.
        again = int(victim in GATEWAYS)
        for client, held in zip(clients, STEPS, strict=True):
            assert client.repeats == {step: again * (step == held) for step in STEPS}
    indexes = len(STEPS) * len(VICTIMS)
    with service.database.begin() as connection:
        stored = connection.exec_driver_sql("SELECT count(*), sum(live), min(live) FROM galleries").one()
        rows = connection.exec_driver_sql("SELECT count(*) FROM gallery_vectors").scalar_one()
        known = connection.exec_driver_sql("SELECT count(*) FROM http_indexes").scalar_one()
        unfinished = connection.exec_driver_sql(
            "SELECT count(*) FROM http_operations WHERE state <> 'done'"
        ).scalar_one()
    assert tuple(stored) == (indexes, indexes * len(IN_THE_END), len(IN_THE_END))
    assert (rows, known, unfinished) == (indexes * len(IN_THE_END), indexes, 0)
