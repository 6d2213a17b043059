"""No answer depends on its batch neighbours: any subset, any order, any batch size, on the real model."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.lines import render_lines
from local.checkout import CHECKOUT
from tasks.context import TaskContext
from workers.images.loading import LINE_LIMITS, decode
from workers.inference.batch_queue import BatchingOptions
from workers.inference.batching import DynamicBatcher
from workers.inference.host import ModelHost
from workers.inference.host_config import HostConfig, HostedModel
from workers.models.engines.session import EngineName, SessionOptions
from workers.models.families.text_recognition import TextRecognition
from workers.models.home.home import ModelHome

MODEL = "PP-OCRv4_mobile_rec"
POOL = 20


class Reader:
    """Reads some of a pool of lines in batches of a given size."""

    def __init__(self, host: ModelHost, home: Path) -> None:
        self._host = host
        self._recognizer = TextRecognition.open(ModelHome(home).open(MODEL), width_step=32)
        lines = render_lines(POOL, seed=31, longest=4)
        self._tensors = [self._recognizer.preprocess(decode(line.png, LINE_LIMITS)) for line in lines]
        self.alone = [self.read([index], 1)[0] for index in range(POOL)]

    def read(self, indices: list[int], batch_size: int) -> list[tuple[str, float]]:
        options = BatchingOptions(max_batch_size=batch_size, max_wait_time=0.0)
        batcher = DynamicBatcher([self._host], options)
        try:
            task = TaskContext(task_id="t")
            futures = [batcher.submit(MODEL, self._tensors[index], task) for index in indices]
            return [self._recognizer.postprocess(future.result(60).outputs) for future in futures]
        finally:
            batcher.close()


@pytest.fixture(scope="module", params=["openvino", "paddle"])
def reader(request: pytest.FixtureRequest) -> Iterator[Reader]:
    engine: EngineName = request.param
    home = CHECKOUT / ".paddlewheel" / "models"
    model = HostedModel(
        name=MODEL,
        path=home / MODEL,
        options=SessionOptions(engine=engine, threads=2),
        warm_up=(((3, 48, 320),),),
    )
    host = ModelHost(HostConfig(models=(model,)))
    try:
        host.start()
        yield Reader(host, home)
    finally:
        host.close()


@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    indices=st.lists(st.integers(0, POOL - 1), min_size=1, max_size=24),
    batch_size=st.sampled_from([1, 2, 3, 5, 8, 16]),
)
def test_an_answer_does_not_depend_on_its_neighbours(
    reader: Reader, indices: list[int], batch_size: int
) -> None:
    answers = reader.read(indices, batch_size)
    assert [text for text, _ in answers] == [reader.alone[index][0] for index in indices]
    for (_, score), index in zip(answers, indices, strict=True):
        assert score == pytest.approx(reader.alone[index][1], abs=1e-5)
