"""The official models of PaddleX and PaddleOCR: what their documents say of each.

The table is official.yml beside this module; here is its form. `archive_urls` follows PaddleX 3.7: every
model is one tar file in the folder of an edition.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from workers.models.home.directory import ModelFamily

ARCHIVE_HOST: Final = "https://paddle-model-ecology.bj.bcebos.com/paddlex/official_inference_model"
"""Where PaddleX's archives are, as its documents link them."""

LICENCE: Final = "Apache-2.0"
"""The licence of PaddleX, PaddleOCR and their models."""

_TABLE = Path(__file__).with_name("official.yml")

Milliseconds = Annotated[tuple[float, ...], Field(min_length=1, max_length=2)]
"""A time in normal mode and, where it was published, in high-performance mode."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Environment(_Frozen):
    """Where the times of a document were measured."""

    document: str
    gpu: str
    cpu: str
    software: str


class PublishedFigures(_Frozen):
    """What one document says of a model. `accuracy` is by metric, `size_mb` the size of its files."""

    environment: str
    accuracy: Mapping[str, float]
    gpu_ms: Milliseconds | None = None
    cpu_ms: Milliseconds | None = None
    size_mb: float


class FamilyDefaults(_Frozen):
    """What holds for the models of a family that do not say otherwise."""

    input: tuple[int, int, int] | None = None
    thresholds: Mapping[str, float] = {}


class ModelFacts(_Frozen):
    """The facts of a model, wherever it comes from; None or empty where no document states it.

    `input` is (channels, height, width); of text recognizers the width grows with the line. `dimension` is
    the length of its embeddings. `thresholds` have PaddleX's names.
    """

    input: tuple[int, int, int] | None = None
    dimension: int | None = None
    thresholds: Mapping[str, float] = {}
    languages: tuple[str, ...] = ()
    finds: str | None = None
    terms: str | None = None


class OfficialModel(ModelFacts):
    """One of PaddleX's models.

    `editions` are the folders of the archive host that have it, the preferred one first; `on_hub` says that
    PaddleX fetches it from model hubs too.
    """

    name: str
    family: ModelFamily
    editions: Annotated[tuple[str, ...], Field(min_length=1)]
    on_hub: bool = False
    figures: tuple[PublishedFigures, ...] = ()

    def archive_urls(self, host: str = ARCHIVE_HOST) -> tuple[str, ...]:
        """The addresses of its archive, the preferred one first."""
        return tuple(f"{host.rstrip('/')}/{edition}/{self.name}_infer.tar" for edition in self.editions)


class OfficialCatalog(_Frozen):
    """The whole table. `environments` and `metrics` are what `PublishedFigures` refer to.

    `packaged` are facts of models that are not PaddleX's, and come out of packages.
    """

    environments: Mapping[str, Environment]
    metrics: Mapping[str, str]
    families: Mapping[ModelFamily, FamilyDefaults]
    packaged: Mapping[str, ModelFacts]
    models: tuple[OfficialModel, ...]

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, table: dict[str, Any]) -> dict[str, Any]:
        families = table["families"]
        return {**table, "models": [{**families[model["family"]], **model} for model in table["models"]]}

    @model_validator(mode="after")
    def _check_references(self) -> Self:
        names = [model.name for model in self.models]
        if len(set(names)) != len(names):
            raise ValueError("a model is there twice")
        for figures in (each for model in self.models for each in model.figures):
            if figures.environment not in self.environments or not set(figures.accuracy) <= set(self.metrics):
                raise ValueError(f"{figures} refers to something that is not there")
        return self


@cache
def official_catalog() -> OfficialCatalog:
    """The table, read once."""
    return OfficialCatalog.model_validate(yaml.load(_TABLE.read_text("utf-8"), Loader=yaml.CSafeLoader))
