"""A model process that answers in this process, for the batcher: it remembers its batches."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddlewheel.errors import ModelCrashed, ModelFailed
from workers.inference.host import HostLostError
from workers.inference.lane import BatchOutput


class DoublingHost:
    """Doubles every tensor; `poison` values crash it, `refused` values make the model raise."""

    def __init__(self, poison: Sequence[float] = (), refused: Sequence[float] = ()) -> None:
        self.poison = set(poison)
        self.refused = set(refused)
        self.available = True
        self.revivals = 0
        self.batches: list[tuple[str, list[float]]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def infer(
        self, lane: int, model: str, ids: Sequence[int], items: Sequence[tuple[NDArray[Any], ...]]
    ) -> BatchOutput:
        del lane
        tensors = [tensor for (tensor,) in items]
        assert len({tensor.shape for tensor in tensors}) == 1
        assert len(set(ids)) == len(ids)
        self.entered.set()
        assert self.gate.wait(10)
        values = [float(tensor.flat[0]) for tensor in tensors]
        self.batches.append((model, values))
        if self.poison & set(values):
            raise HostLostError(ModelCrashed("it died"), guilty=True)
        if self.refused & set(values):
            raise ModelFailed("it raised")
        return BatchOutput(outputs=(np.stack(tensors) * 2,), model_ms=1.0)

    def revive(self) -> None:
        self.revivals += 1
        time.sleep(0.001)
