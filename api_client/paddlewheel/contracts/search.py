"""What searches have in common: the gallery that they name, and what they find in it."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from paddlewheel.contracts.base import ModelName, Request

GalleryKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}$")]

MAX_TOP_K = 1000


class Search(Request):
    """How to search a gallery.

    `threshold` is the lowest score for the metric IP and the largest distance for L2; None takes the
    model's own where it has one. At the level `label` each label comes once, by its best vector. `details`
    adds the external ids, for one more question to the database.
    """

    gallery: GalleryKey
    top_k: int = Field(default=5, ge=1, le=MAX_TOP_K)
    threshold: float | None = Field(default=None, allow_inf_nan=False)
    level: Literal["vector", "label"] = "vector"
    details: bool = False


class ModelSearch(Search):
    """A search by what a model sees in an image.

    `model` is only asked for where the gallery does not say which model made its vectors.
    """

    model: ModelName | None = None
    page_index: int = Field(default=0, ge=0)


class Match(BaseModel):
    """One vector that was found, best first in its list. `external_id` is there when it was asked for."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    label: str
    score: float
    id: int
    external_id: str | None = None
