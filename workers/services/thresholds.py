"""From which score on two embeddings are of one person or thing, for the models where it is known."""

from collections.abc import Iterable

from workers.models.home.cards import model_cards


def default_thresholds(names: Iterable[str]) -> dict[str, float]:
    """By model, the catalog's `rec_threshold`; a model that is not in it, or has none there, is left out."""
    cards = model_cards()
    found = {name: cards[name].facts.thresholds for name in names if name in cards}
    return {name: each["rec_threshold"] for name, each in found.items() if "rec_threshold" in each}
