"""A card for each model by name: one list over the packages' models and the official ones."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache

from paddlewheel.errors import ModelUnknown
from workers.models.home.catalog import CATALOG
from workers.models.home.directory import ModelFamily
from workers.models.home.official import LICENCE, ModelFacts, OfficialModel, official_catalog
from workers.models.home.package_archive import Package


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """One model that can be pulled: from its `package`, as an `official` model, or as both."""

    name: str
    family: ModelFamily
    licence: str
    package: Package | None
    official: OfficialModel | None

    @property
    def facts(self) -> ModelFacts:
        """Its published facts."""
        return self.official or official_catalog().packaged.get(self.name, ModelFacts())


@cache
def model_cards() -> Mapping[str, ModelCard]:
    """Every model that can be pulled, by name: those of packages first, then the official ones."""
    official = {model.name: model for model in official_catalog().models}
    packaged = {
        name: ModelCard(
            name=name,
            family=entry.family,
            licence=entry.licence,
            package=entry.package,
            official=official.get(name),
        )
        for name, entry in CATALOG.items()
    }
    others = {
        name: ModelCard(name=name, family=model.family, licence=LICENCE, package=None, official=model)
        for name, model in official.items()
        if name not in packaged
    }
    return packaged | others


def model_card(name: str) -> ModelCard:
    """The card of that name. Raises ModelUnknown, with the names that are most like it."""
    found = model_cards().get(name)
    if found is None:
        raise ModelUnknown(f"There is no model {name[:80]!r} in the catalog{similar(name, model_cards())}")
    return found


def similar(name: str, names: Iterable[str]) -> str:
    """The end of a sentence: the names that somebody may have meant."""
    folded = {known.lower(): known for known in names}
    close = get_close_matches(name[:80].lower(), folded, n=3, cutoff=0.6)
    inside = [known for lower, known in folded.items() if name and name.lower() in lower]
    meant = list(dict.fromkeys([*(folded[match] for match in close), *inside]))[:4]
    return f": did you mean {' or '.join(meant)}?" if meant else "; 'paddlewheel models list' shows all."
