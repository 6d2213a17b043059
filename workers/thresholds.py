"""From which score on two embeddings are of one person or thing, for the models where it is known."""

from collections.abc import Iterable, Mapping
from typing import Final

from workers.models.official import official_catalog

_OFFICIAL: Final = "rec_threshold"

_MEASURED: Final[Mapping[str, float]] = {"DlibFaceResNet": 0.914}
"""Inner products of aligned faces; benchmarks/README.md says how they were measured."""


def default_thresholds(names: Iterable[str]) -> dict[str, float]:
    """By model: PaddleX's own for its official models, ours for the others."""
    official = {
        model.name: model.thresholds[_OFFICIAL]
        for model in official_catalog().models
        if _OFFICIAL in model.thresholds
    }
    known = {**official, **_MEASURED}
    return {name: known[name] for name in names if name in known}
