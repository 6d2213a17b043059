"""Work that pauses: one piece runs to its end, many take turns, an error stays with its item."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddlewheel.contracts.base import ItemError
from paddlewheel.errors import ImageCorrupt, InternalError, PaddlewheelError
from tasks.steps import AT_ONCE, Steps, collect_outcomes, run, run_each


def work(
    name: int, pauses: int, log: list[tuple[int, int]], error: Exception | None = None
) -> Steps[ItemError]:
    for step in range(pauses):
        log.append((name, step))
        yield
    if error is not None:
        raise error
    return ItemError(code=str(name), message="")


def test_one_piece_is_run_to_its_end() -> None:
    log: list[tuple[int, int]] = []
    assert run(work(7, 3, log)).code == "7"
    assert log == [(7, 0), (7, 1), (7, 2)]


def test_many_take_turns_so_that_their_items_wait_together() -> None:
    log: list[tuple[int, int]] = []
    list(run_each(work(name, 2, log) for name in range(3)))
    assert log == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]


def test_a_bounded_number_is_under_way() -> None:
    begun: list[int] = []

    def works() -> Iterator[Steps[ItemError]]:
        for name in range(3 * AT_ONCE):
            begun.append(name)
            yield work(name, 1, [])

    results = run_each(works())
    next(results)
    assert len(begun) == AT_ONCE
    assert len(list(results)) == 3 * AT_ONCE - 1


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["ok", "typed", "other"])), max_size=80))
def test_each_result_or_error_is_in_its_items_place(plan: list[tuple[int, str]]) -> None:
    errors = {"ok": None, "typed": ImageCorrupt("bad"), "other": ValueError("worse")}
    results = list(run_each(work(at, pauses, [], errors[how]) for at, (pauses, how) in enumerate(plan)))
    assert len(results) == len(plan)
    for at, ((_, how), result) in enumerate(zip(plan, results, strict=True)):
        if how == "ok":
            assert not isinstance(result, PaddlewheelError)
            assert result.code == str(at)
        else:
            assert type(result) is (ImageCorrupt if how == "typed" else InternalError)


def test_outcomes_have_a_result_or_an_error() -> None:
    good, bad = collect_outcomes(run_each([work(1, 1, []), work(2, 1, [], ImageCorrupt("bad"))]))
    assert good.result is not None
    assert good.error is None
    assert bad.result is None
    assert bad.error == ItemError(code="image_corrupt", message="bad")


def test_an_error_of_a_lone_piece_is_raised() -> None:
    with pytest.raises(ImageCorrupt):
        run(work(1, 1, [], ImageCorrupt("bad")))
