"""How far an engine's outputs may be from the reference's, in what a model's family makes of them."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from workers.models.home.directory import ModelFamily

TOLERANCE: Final = 1e-3
"""The largest `difference` that is accepted.

Measured on the samples of `samples.py`, against Paddle (v4) or ONNX Runtime (v6): float32 OpenVINO is 2.2e-5
(PP-OCRv4_mobile_rec), 3.0e-5 (PP-OCRv4_mobile_det), 8.6e-6 (PP-OCRv6_small_rec) and 1.7e-5
(PP-OCRv6_small_det) away; in bfloat16, OpenVINO's default where the processor has it, 0.99, 0.58, 0.90 and
0.15. The tolerance lies thirty times above the first and a hundred times below the second.
"""

CERTAIN: Final = 0.3
"""Boxes that score less are not compared: which of them survive is a matter of near ties."""

Outputs = Sequence[NDArray[Any]]


def difference(family: ModelFamily | str, reference: Outputs, outputs: Outputs) -> float:
    """The largest difference of one batch's outputs; infinite when they cannot be compared.

    For probabilities (text, classes) it is that of a probability; for features, the distance of the two
    vectors at length 1; for boxes, that of a score or of a corner as a part of the picture; for other
    outputs, relative to the largest value when that is above 1.
    """
    if len(reference) != len(outputs):
        return float("inf")
    if family == "object_detection":
        return max(_unmatched(reference, outputs), _unmatched(outputs, reference))
    return max(
        (_largest(family, one, other) for one, other in zip(reference, outputs, strict=True)), default=0.0
    )


def _largest(family: str, reference: NDArray[Any], output: NDArray[Any]) -> float:
    if reference.shape != output.shape or not np.isfinite(output).all():
        return float("inf")
    if not reference.size:
        return 0.0
    one, other = reference.astype(np.float64), output.astype(np.float64)
    if family == "image_feature":
        return float(np.linalg.norm(_unit(one) - _unit(other), axis=-1).max())
    return float(np.abs(one - other).max() / max(1.0, np.abs(one).max()))


def _unit(vectors: NDArray[Any]) -> NDArray[Any]:
    lengths: NDArray[Any] = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(lengths, lengths, 1.0)


def _unmatched(reference: Outputs, outputs: Outputs) -> float:
    """How far the worst of the reference's certain boxes (class, score, four corners) is from its twin."""
    expected, found = _boxes(reference), _boxes(outputs)
    if expected is None or found is None:
        return float("inf")
    certain = expected[expected[:, 1] >= CERTAIN]
    scale = np.array([1.0, *[max(1.0, float(np.abs(expected[:, 2:]).max(initial=0.0)))] * 4])
    worst = 0.0
    for box in certain:
        twins = found[found[:, 0] == box[0]]
        if not len(twins):
            return float("inf")
        worst = max(worst, float((np.abs(twins[:, 1:] - box[1:]) / scale).max(axis=1).min()))
    return worst


def _boxes(outputs: Outputs) -> NDArray[Any] | None:
    """Rows of [class, score, x1, y1, x2, y2], of all pictures together."""
    rows = next((each for each in outputs if each.ndim == 2 and each.shape[1] == 6), None)
    return rows if rows is not None and np.isfinite(rows).all() else None
