"""The half of a model that runs in the model process: one forward pass over a batch."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddlewheel.errors import ModelFailed
from workers.models.engines.opening import open_session
from workers.models.engines.session import ItemShapes, SessionOptions, shapes
from workers.models.families.detected_boxes import boxes_by_item
from workers.models.home.directory import ModelDirectory

_VIEWS_NDIM = 5


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

    def forward(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """The outputs for N items, each with first dimension N, in order.

        `inputs` are arrays [N, ...] in the order of the network's input names, sorted.

        For text recognition they are reduced to the best class (int32 [N, T]) and its probability
        (float32 [N, T]): the probabilities of all classes are up to 500 times as many numbers. For object
        detection they are the boxes of each item, see `boxes_by_item`. For image features, inputs
        [N, V, 3, H, W] are V views of each item, and the features are [N, V, D].
        Raises ModelFailed.
        """
        match self._directory.family:
            case "image_feature" if inputs[0].ndim == _VIEWS_NDIM:
                return self._run_views(inputs[0])
            case "object_detection":
                return (self._boxes(inputs),)
            case "text_recognition":
                return best_classes(self._run(inputs)[0])
        return tuple(output.copy() for output in self._run(inputs))

    def _run(self, inputs: tuple[NDArray[Any], ...]) -> tuple[NDArray[Any], ...]:
        outputs = self._session.run(*inputs)
        if any(output.shape[:1] != inputs[0].shape[:1] for output in outputs):
            raise ModelFailed(f"{self._directory.name} answered {shapes(inputs)} with {shapes(outputs)}.")
        return outputs

    def _run_views(self, inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        items, views = inputs.shape[:2]
        outputs = self._run((inputs.reshape(items * views, *inputs.shape[2:]),))
        return tuple(output.reshape(items, views, *output.shape[1:]).copy() for output in outputs)

    def _boxes(self, inputs: tuple[NDArray[Any], ...]) -> NDArray[np.float32]:
        outputs = self._session.run(*inputs)
        try:
            boxes, counts = outputs[:2]
            return boxes_by_item(boxes, counts, len(inputs[0]))
        except ValueError as err:
            raise ModelFailed(
                f"{self._directory.name} answered {shapes(inputs)} with {shapes(outputs)}: {err}."
            ) from err

    def warm_up(self, items: Iterable[ItemShapes]) -> None:
        """Run one item of ones for each (shapes without N), so that no caller pays for the first run."""
        for item in items:
            self.forward(*(np.ones((1, *shape), dtype=np.float32) for shape in item))


def best_classes(probabilities: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Probabilities [N, T, classes] to the best class [N, T] and its probability [N, T]."""
    best = probabilities.argmax(axis=-1)
    top = np.take_along_axis(probabilities, best[..., np.newaxis], axis=-1)[..., 0]
    return best.astype(np.int32), top
