"""Where official models are fetched from, under the names of PaddleX's PADDLE_PDX_MODEL_SOURCE."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from paddlewheel.errors import ConfigurationError
from workers.models.file_names import CONFIG, GRAPHS, PARAMS
from workers.models.home.official import ARCHIVE_HOST, OfficialModel

SourceName = Literal["bos", "huggingface"]

SOURCES: Final[tuple[SourceName, ...]] = get_args(SourceName)
"""The sources that are implemented, the default first."""

HUB: Final = "https://huggingface.co"
"""The public hub, as PaddleX has it."""

_ELSEWHERE: Final = ("aistudio", "modelscope")


@dataclass(frozen=True, kw_only=True)
class ModelOffer:
    """One place that may have a model: its `archive`, or its `files` by the names they get."""

    archive: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.archive or next(iter(self.files.values())).rpartition("/")[0]


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """A source, and the address that stands in for its public one: a mirror inside a network.

    `hub` is the hub's address where it is not the public one, as PADDLE_PDX_HUGGING_FACE_ENDPOINT.
    """

    name: SourceName = "bos"
    mirror: str | None = None
    hub: str = HUB

    @classmethod
    def named(cls, name: str, mirror: str | None = None, hub: str = HUB) -> "ModelSource":
        """The source of that name, in any case as PaddleX takes it. Raises ConfigurationError."""
        match name.strip().lower():
            case "" | "bos":
                return cls(name="bos", mirror=mirror, hub=hub)
            case "huggingface":
                return cls(name="huggingface", mirror=mirror, hub=hub)
            case other if other in _ELSEWHERE:
                raise ConfigurationError(
                    f"Models are not fetched from {other}: choose bos, PaddleX's archive, or huggingface; "
                    f"or fetch the directory with {other}'s tools and put it into the model home."
                )
        raise ConfigurationError(f"{name!r} is no model source: choose {' or '.join(SOURCES)}.")

    def offers(self, model: OfficialModel) -> tuple[ModelOffer, ...]:
        """The places to try, in order. A hub has PaddleX's text models only; the archive has all."""
        if self.name == "bos":
            return _archives(model, self.mirror or ARCHIVE_HOST)
        if model.on_hub:
            return (_hub_files(model, self.mirror or self.hub),)
        return () if self.mirror else _archives(model, ARCHIVE_HOST)


def _archives(model: OfficialModel, host: str) -> tuple[ModelOffer, ...]:
    return tuple(ModelOffer(archive=url) for url in model.archive_urls(host))


def _hub_files(model: OfficialModel, endpoint: str) -> ModelOffer:
    base = f"{endpoint.rstrip('/')}/PaddlePaddle/{model.name}/resolve/main"
    return ModelOffer(files={name: f"{base}/{name}" for name in (CONFIG, GRAPHS[0], PARAMS)})
