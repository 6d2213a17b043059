"""Which vectors a removal names, limited to values that Postgres may have."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from index_store.vectors import is_storable
from paddlewheel.errors import InvalidRequest


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which vectors to remove: by exactly one of vector id, label and external id."""

    ids: Sequence[int] | None = None
    labels: Sequence[str] | None = None
    external_ids: Sequence[str] | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.ids, self.labels, self.external_ids) if value is not None]
        if len(given) != 1 or isinstance(given[0], str):
            raise InvalidRequest("Say what to remove by exactly one list of ids, labels or external ids.")

    @property
    def column(self) -> str:
        """The column that is compared."""
        if self.ids is not None:
            return "id"
        return "label" if self.labels is not None else "external_id"

    @property
    def values(self) -> list[Any]:
        """What it is compared with, each value once."""
        if self.ids is not None:
            return possible_ids(self.ids)
        return possible_texts(self.labels or self.external_ids or ())

    @property
    def digest(self) -> bytes:
        """What a repeated removal is recognized by."""
        return sha256(repr((self.column, self.values)).encode()).digest()


def possible_ids(ids: Iterable[int]) -> list[int]:
    """Those of the ids that a vector may have, ascending, each once."""
    return sorted({int(value) for value in ids if -(2**63) <= int(value) < 2**63})


def possible_texts(texts: Iterable[str]) -> list[str]:
    """Those of the texts that Postgres may have kept, in order, each once."""
    return sorted({str(value) for value in texts if is_storable(str(value))})
