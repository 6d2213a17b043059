"""What a model host loads and the bounds that it keeps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from workers.inference.memory import MemoryBounds
from workers.models.engines.session import ItemShapes, SessionOptions

OPEN_NETWORK: Final = "workers.inference.process:open_network"
"""What a model process calls with a model's directory and options; fault tests name another function."""


@dataclass(frozen=True, kw_only=True)
class HostedModel:
    """A model that the process loads.

    `warm_up` are items to run once, each the shapes of its tensors, such as ((3, 48, 320),).
    """

    name: str
    path: Path
    options: SessionOptions
    warm_up: tuple[ItemShapes, ...] = ()
    loader: str = OPEN_NETWORK


@dataclass(frozen=True, kw_only=True)
class HostConfig:
    """`start_timeout` covers loading and warm-up, `batch_timeout` one batch from its start; in seconds.

    With `overlap`, a process that exceeds its memory limit keeps serving until its successor is ready;
    without it, two processes never run at a time.
    """

    models: tuple[HostedModel, ...]
    start_timeout: float = 180.0
    batch_timeout: float = 60.0
    memory: MemoryBounds = field(default_factory=MemoryBounds)
    overlap: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """The engine and the device that a model runs on."""

    engine: str
    device: str
