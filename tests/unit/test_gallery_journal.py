"""What the kill test finds wrong: each fault is put in and has to be seen, by what was asked for."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.gallery_journal import Findings, History, Journal, rows_of

FIRST, SECOND, REMOVAL, THIRD = "writer-0-0", "writer-0-1", "writer-0-2", "writer-0-3"
FIRST_IDS = list(range(1, 1 + len(rows_of(FIRST))))
SECOND_IDS = list(range(100, 100 + len(rows_of(SECOND))))
THIRD_IDS = list(range(200, 200 + len(rows_of(THIRD))))
CHOSEN = [FIRST_IDS[0], SECOND_IDS[0], SECOND_IDS[1]]
APPENDS: list[dict[str, Any]] = [
    {"event": "start", "operation": FIRST, "kind": "append"},
    {"event": "ack", "operation": FIRST, "ids": FIRST_IDS, "repeated": False},
    {"event": "start", "operation": SECOND, "kind": "append"},
    {"event": "ack", "operation": SECOND, "ids": SECOND_IDS, "repeated": False},
]
REMOVES: dict[str, Any] = {"event": "start", "operation": REMOVAL, "kind": "remove", "ids": CHOSEN}
REMOVED: dict[str, Any] = {"event": "ack", "operation": REMOVAL, "ids": CHOSEN, "repeated": False}
ALL = dict.fromkeys(FIRST_IDS, FIRST) | dict.fromkeys(SECOND_IDS, SECOND)
LEFT = {number: operation for number, operation in ALL.items() if number not in CHOSEN}


def judged(entries: list[dict[str, Any]], stored: dict[int, str]) -> Findings:
    return History(entries).judge(stored)


def test_a_gallery_that_holds_what_was_acknowledged_is_sound() -> None:
    history = History([*APPENDS, REMOVES, REMOVED])
    assert history.judge(LEFT) == Findings()
    assert (history.started, history.acknowledged, history.repeated, history.open) == (3, 3, 0, {})
    assert history.live == LEFT.keys()


def test_a_missing_row_is_lost() -> None:
    stored = {number: operation for number, operation in ALL.items() if number != SECOND_IDS[2]}
    assert judged(APPENDS, stored) == Findings(lost={str(SECOND_IDS[2])})


def test_a_removal_that_skips_an_id_is_seen_even_if_it_does_not_answer_with_it() -> None:
    answered = REMOVED | {"ids": CHOSEN[:-1]}
    found = judged([*APPENDS, REMOVES, answered], LEFT | {CHOSEN[-1]: SECOND})
    assert found == Findings(undead={str(CHOSEN[-1])}, misanswered={REMOVAL})


def test_an_id_that_was_removed_before_is_not_missed_in_the_answer() -> None:
    again = [{**REMOVES, "operation": THIRD}, {**REMOVED, "operation": THIRD, "ids": []}]
    assert judged([*APPENDS, REMOVES, REMOVED, *again], LEFT) == Findings()
    again[1]["ids"] = CHOSEN[:1]
    assert judged([*APPENDS, REMOVES, REMOVED, *again], LEFT) == Findings(misanswered={THIRD})


@pytest.mark.parametrize("stored", [ALL, LEFT])
def test_an_open_removal_may_have_taken_all_or_none(stored: dict[int, str]) -> None:
    assert judged([*APPENDS, REMOVES], stored) == Findings()


def test_an_open_removal_that_has_taken_some_is_half_applied() -> None:
    assert judged([*APPENDS, REMOVES], LEFT | {CHOSEN[0]: FIRST}) == Findings(half_applied={REMOVAL})


@pytest.mark.parametrize(
    ("ids", "half_applied"),
    [([], set()), (THIRD_IDS, set()), (THIRD_IDS[:-1], {THIRD}), (range(999), {THIRD})],
)
def test_an_open_append_has_all_its_rows_or_none(ids: list[int], half_applied: set[str]) -> None:
    entries = [*APPENDS, {"event": "start", "operation": THIRD, "kind": "append"}]
    assert judged(entries, dict.fromkeys(ids, THIRD) | ALL) == Findings(half_applied=half_applied)


def test_rows_that_a_repeat_stored_again_are_doubled() -> None:
    assert judged(APPENDS, ALL | {999: SECOND}) == Findings(doubled={SECOND})


def test_what_was_committed_before_a_death_has_to_be_answered_as_repeated(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "writer-0.jsonl")
    for entry in [*APPENDS, REMOVES, {"event": "death", "at": "committed", "pid": 1}]:
        journal.note(**entry)
    journal.note(**REMOVED)
    assert History(journal.entries()).judge(LEFT) == Findings(misanswered={REMOVAL})
    repeated = [*list(journal.entries())[:-1], REMOVED | {"repeated": True}]
    assert judged(repeated, LEFT) == Findings()
    assert History(repeated).repeated == 1


def test_a_line_that_a_death_has_cut_short_is_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "writer-0.jsonl")
    journal.note(**APPENDS[0])
    with journal.path.open("ab") as file:
        file.write(b'{"event": "ack", "oper')
    assert list(journal.entries()) == APPENDS[:1]
