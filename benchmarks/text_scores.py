"""How right a reader is: its lines against a page's, whatever order and however many there are."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

ALIKE: Final = 0.5
"""A line counts as found when at most this share of its characters is wrong."""


@dataclass(frozen=True, kw_only=True)
class TextScore:
    """Counts of one page or of many: they add up.

    `errors` are characters inserted, deleted or replaced, among them the whole lines that are missing or
    have no counterpart; `in_order` of the `neighbours` are found lines that follow the line before them.
    """

    lines: int = 0
    exact: int = 0
    found: int = 0
    characters: int = 0
    errors: int = 0
    neighbours: int = 0
    in_order: int = 0

    def __add__(self, other: "TextScore") -> "TextScore":
        return TextScore(**{name: value + getattr(other, name) for name, value in vars(self).items()})

    @property
    def error_rate(self) -> float:
        """Errors a character (CER); more than 1 where much is read that is not there."""
        return self.errors / max(self.characters, 1)

    @property
    def order(self) -> float | None:
        """The share of found lines that directly follow the found line before them; None without any."""
        return self.in_order / self.neighbours if self.neighbours else None


def total(scores: Iterable[TextScore]) -> TextScore:
    """The sum of many."""
    return sum(scores, TextScore())


def score_text(expected: Sequence[str], orders: Sequence[Sequence[str]], *, by_words: bool) -> TextScore:
    """The score of an answer. `orders` are the same lines in one order or in several: the best counts."""
    wanted = _normalized(expected, by_words=by_words)
    answers = [_normalized(order, by_words=by_words) for order in orders]
    return max(
        (_score(wanted, answer) for answer in answers),
        key=lambda score: (score.exact, -score.errors, score.in_order),
    )


def edit_distance(first: str, second: str) -> int:
    """Characters to insert, delete or replace (Levenshtein)."""
    if first == second:
        return 0
    letters = np.frombuffer(second.encode("utf-32-le"), dtype=np.uint32)
    places = np.arange(len(second) + 1)
    row = places
    for number, letter in enumerate(first, 1):
        changed = np.empty_like(row)
        changed[0] = number
        changed[1:] = np.minimum(row[1:] + 1, row[:-1] + (letters != ord(letter)))
        row = np.minimum.accumulate(changed - places) + places
    return int(row[-1])


def _normalized(lines: Sequence[str], *, by_words: bool) -> list[str]:
    joined = [" ".join(unicodedata.normalize("NFC", line).split()) for line in lines]
    return (
        [word for line in joined for word in line.split()] if by_words else [line for line in joined if line]
    )


def _score(expected: Sequence[str], answer: Sequence[str]) -> TextScore:
    pairs = _matched(expected, answer)
    distances = {place: edit_distance(expected[place], answer[other]) for place, other in pairs.items()}
    found = [place for place in sorted(pairs) if distances[place] <= ALIKE * len(expected[place])]
    missing = sum(len(line) for place, line in enumerate(expected) if place not in pairs)
    unasked = sum(len(line) for place, line in enumerate(answer) if place not in set(pairs.values()))
    ranks = {place: rank for rank, place in enumerate(sorted(found, key=pairs.__getitem__))}
    steps = [ranks[after] - ranks[before] for before, after in pairwise(found)]
    return TextScore(
        lines=len(expected),
        exact=sum(distance == 0 for distance in distances.values()),
        found=len(found),
        characters=sum(map(len, expected)),
        errors=sum(distances.values()) + missing + unasked,
        neighbours=len(steps),
        in_order=steps.count(1),
    )


def _matched(expected: Sequence[str], answer: Sequence[str]) -> dict[int, int]:
    """The place in the answer of each expected line: equal ones first, the others so that errors are few."""
    places: dict[str, list[int]] = {}
    for other, line in enumerate(answer):
        places.setdefault(line, []).append(other)
    pairs = {place: places[line].pop(0) for place, line in enumerate(expected) if places.get(line)}
    rest = [place for place in range(len(expected)) if place not in pairs]
    others = [other for other in range(len(answer)) if other not in set(pairs.values())]
    if not rest or not others:
        return pairs
    costs = np.array(
        [
            [
                edit_distance(expected[place], answer[other]) - len(expected[place]) - len(answer[other])
                for other in others
            ]
            for place in rest
        ]
    )
    chosen = zip(*linear_sum_assignment(costs), strict=True)
    return pairs | {rest[row]: others[column] for row, column in chosen}
