"""The model that a request is answered by."""

from collections.abc import Mapping
from typing import TypeVar

from paddlewheel.errors import FamilyNotServed, ModelUnknown

Model = TypeVar("Model")


def choose_model(models: Mapping[str, Model], name: str | None, family: str) -> Model:
    """The model of that name, or the first. Raises FamilyNotServed where there is none, ModelUnknown."""
    if not models:
        raise FamilyNotServed(f"This worker serves no model of {family}: its settings turn the family off.")
    if name is None:
        return next(iter(models.values()))
    if name not in models:
        raise ModelUnknown(f"This worker has no model {name!r} of {family}; it has {', '.join(models)}.")
    return models[name]
