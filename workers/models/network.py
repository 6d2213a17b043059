"""The half of a model that runs in the model process: one forward pass over a batch."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from api_client.errors import ModelFailed
from workers.models.directory import ModelDirectory
from workers.models.session import SessionOptions, open_session


class Network:
    """A loaded network. It keeps no state between calls and must not be called by two threads at once."""

    def __init__(self, directory: ModelDirectory, options: SessionOptions) -> None:
        """Load the weights. Raises ModelUnavailable."""
        self._directory = directory
        self._session = open_session(directory, options)

    @property
    def engine(self) -> str:
        """The engine that was chosen: paddle, openvino or onnxruntime."""
        return self._session.engine

    @property
    def device(self) -> str:
        """The device it runs on: `cpu` or `gpu:N`."""
        return self._session.device

    def forward(self, batch: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
        """The outputs for N items, each with first dimension N, in order.

        For text recognition they are reduced to the best class (int32 [N, T]) and its probability
        (float32 [N, T]): the probabilities of all classes are up to 500 times as many numbers.
        Raises ModelFailed.
        """
        outputs = self._session.run(batch)
        if any(output.shape[:1] != batch.shape[:1] for output in outputs):
            shapes = ", ".join(str(output.shape) for output in outputs)
            raise ModelFailed(f"{self._directory.name} answered {batch.shape} with {shapes}.")
        if self._directory.family == "text_recognition":
            return best_classes(outputs[0])
        return tuple(output.copy() for output in outputs)

    def warm_up(self, shapes: Iterable[tuple[int, ...]]) -> None:
        """Run one item of zeros of each shape (without N), so that no caller pays for the first run."""
        for shape in shapes:
            self.forward(np.zeros((1, *shape), dtype=np.float32))


def best_classes(probabilities: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Probabilities [N, T, classes] to the best class [N, T] and its probability [N, T]."""
    best = probabilities.argmax(axis=-1)
    top = np.take_along_axis(probabilities, best[..., np.newaxis], axis=-1)[..., 0]
    return best.astype(np.int32), top
