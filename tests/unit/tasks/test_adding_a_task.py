"""What docs/how-to/add-a-task.md promises: six places, and every task has what they give it."""

import inspect
import re
import textwrap
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery, _state
from celery.app.task import Task

import paddlewheel
from gateway.app import create_app
from gateway.settings import GatewaySettings
from paddlewheel.blobs.memory import MemoryBlobStore
from paddlewheel.contracts.base import TaskSpec, bulk_of
from paddlewheel.contracts.batch_jobs import BATCH_TASKS
from paddlewheel.contracts.image_tasks import BULK_SPECS, IMAGE_TASKS
from paddlewheel.contracts.known_tasks import TASKS
from paddlewheel.contracts.results import Served
from paddlewheel.contracts.text import READ_PAGES
from paddlewheel.in_memory import InMemoryClient
from tasks import batched
from tasks import resources as installed
from tasks.batched import batched_task, load_batched_tasks
from tasks.context import TaskContext
from tests import toy_task
from tests.data.pictures import png_of_zeros
from tests.doubling_host import DoublingHost
from tests.toy_task import RATE_SHARPNESS, RatedSharpness, RateSharpness
from workers.images.loading import ImageLoader
from workers.images.prefetch import PrefetchingBlobStore
from workers.inference.batch_queue import BatchingOptions
from workers.inference.batching import DynamicBatcher
from workers.services.serving import ServingNotes

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "how-to" / "add-a-task.md").read_text("utf-8")
PLACES = re.findall(r"^## (\d)\. .*: `(.*)`$", PAGE, re.MULTILINE)
CALLERS = [spec for spec in TASKS if spec not in BULK_SPECS.values()]
SETTINGS = {"broker_url": "redis://nowhere", "database_url": "postgresql://"}


def names(specs: Any) -> list[str]:
    return [spec.name for spec in specs]


def test_the_page_names_six_places_that_there_are() -> None:
    assert [number for number, _ in PLACES] == list("123456")
    assert all((ROOT / path).is_file() for _, path in PLACES)


@pytest.mark.parametrize(
    "part",
    [
        RateSharpness,
        RatedSharpness,
        toy_task.rate_sharpness,
        toy_task.Pictures.rate_sharpness,
        toy_task.BatchedPictures.rate_sharpness,
    ],
)
def test_the_page_shows_the_code_that_runs_here(part: Any) -> None:
    code = textwrap.dedent(inspect.getsource(part))
    assert code in PAGE or textwrap.indent(code, "    ") in PAGE


def test_every_task_of_one_image_may_be_a_batch_job_and_all_but_documents_travel_together() -> None:
    assert list(BATCH_TASKS) == names(IMAGE_TASKS)
    assert list(BULK_SPECS) == names(spec for spec in IMAGE_TASKS if spec != READ_PAGES)
    assert set(load_batched_tasks()) == set(names(IMAGE_TASKS))


@pytest.mark.parametrize("spec", CALLERS, ids=names(CALLERS))
def test_every_task_has_public_names(spec: TaskSpec[Any, Any]) -> None:
    assert spec in vars(paddlewheel).values()
    assert {spec.request.__name__, spec.result.__name__} <= set(paddlewheel.__all__)


def test_every_task_has_its_paths_over_http() -> None:
    paths = create_app(GatewaySettings.model_validate(SETTINGS)).openapi()["paths"]
    for spec in CALLERS:
        assert f"/v1/tasks/{spec.name}" in paths
        assert f"/v1/tasks/{spec.name}/many" in paths
        assert (f"/v1/tasks/{spec.name}/upload" in paths) == ("image" in spec.request.model_fields)


@pytest.mark.parametrize("spec", IMAGE_TASKS, ids=names(IMAGE_TASKS))
def test_every_body_calls_one_method_that_its_resource_has(spec: TaskSpec[Any, Any]) -> None:
    calls: list[tuple[str, str]] = []

    class Recorder:
        def __init__(self, family: str) -> None:
            self._family = family

        def __getattr__(self, method: str) -> Any:
            return lambda *_: calls.append((self._family, method))

    installed.install(SimpleNamespace(**{name: Recorder(name) for name in ("text", "faces", "pictures")}))
    try:
        load_batched_tasks()[spec.name].body(spec.request.model_construct(), TaskContext(task_id="t"))
    finally:
        installed._installed.clear()
    ((family, method),) = calls
    protocol = {"text": installed.TextReader, "faces": installed.Faces, "pictures": installed.Pictures}[
        family
    ]
    assert callable(getattr(protocol, method))


class Toy:
    """A worker that serves the toy model, in this process."""

    def __init__(self) -> None:
        self.host = DoublingHost()
        self.batcher = DynamicBatcher([self.host], BatchingOptions(max_batch_size=8, max_wait_time=0.05))
        self.images = PrefetchingBlobStore(MemoryBlobStore())
        self.loader = ImageLoader(self.images)
        self.pictures = toy_task.BatchedPictures(
            raters={"sharpness": toy_task.SharpnessModel()},
            serving=ServingNotes({"sharpness": Served(model="sharpness", engine="toy", device="cpu")}),
            batcher=self.batcher,
            images=self.loader,
        )
        self.cancellations: Any = SimpleNamespace(
            register=lambda _: None, is_cancelled=lambda _: False, unregister=lambda _: None
        )
        self.deliveries: Any = SimpleNamespace(track=lambda _: nullcontext())

    def close(self) -> None:
        self.batcher.close()
        self.loader.close()
        self.images.close()


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Toy]:
    """The six steps, undone afterwards."""
    monkeypatch.setitem(BULK_SPECS, RATE_SHARPNESS.name, bulk_of(RATE_SHARPNESS))
    monkeypatch.setattr(batched, "_REGISTERED", dict(load_batched_tasks()))
    finalizers: set[Any] = vars(_state)["_on_app_finalizers"]
    monkeypatch.setattr(_state, "_on_app_finalizers", set(finalizers))
    batched_task(RATE_SHARPNESS)(toy_task.rate_sharpness)
    made = Toy()
    installed.install(made)  # type: ignore[arg-type]
    yield made
    installed._installed.clear()
    made.close()


@pytest.fixture
def app(toy: Toy) -> Celery:
    del toy
    made = Celery("toy", set_as_current=False)
    made.conf.update(task_always_eager=True, task_store_eager_result=False)
    made.finalize()
    return made


def run(app: Celery, name: str, request: object) -> Any:
    task: Task[Any, Any] = app.tasks[name]
    return task.apply(args=(request,)).result


def test_a_task_added_by_the_page_answers_one_and_many(app: Celery, toy: Toy) -> None:
    image = {"blob": toy.images.put(png_of_zeros(8, 8)).blob, "input_path": "black.png"}
    missing = {"blob": "sha256:" + "0" * 64}
    one = RatedSharpness.model_validate(run(app, "images.sharpness", {"image": image}))
    assert (one.sharpness, one.input_path) == (0.0, "black.png")
    toy.host.batches.clear()
    items = [{"image": image}, {"image": missing}, {"image": image}, {"image": image}]
    many = BULK_SPECS["images.sharpness"].result.model_validate(
        run(app, "images.sharpness_many", {"items": items})
    )
    assert [each.error and each.error.code for each in many.items] == [None, "blob_not_found", None, None]
    assert toy.host.batches == [("sharpness", [0.0, 0.0, 0.0])]


def test_a_task_added_by_the_page_is_known_to_clients(toy: Toy) -> None:
    del toy

    def rate(request: RateSharpness) -> RatedSharpness:
        del request
        return RatedSharpness(sharpness=0.5)

    with InMemoryClient({RATE_SHARPNESS: rate}) as client:
        pendings = client.enqueue_many(RATE_SHARPNESS, [png_of_zeros(8, 8)] * 3)
        assert [pending.result().sharpness for pending in pendings] == [0.5] * 3
