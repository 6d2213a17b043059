"""When a model process takes too much memory."""

from hypothesis import given
from hypothesis import strategies as st

from workers.inference.memory import MemoryBounds

SIZES = st.integers(1, 1 << 40)


@given(taken=SIZES, loaded=SIZES)
def test_without_bounds_nothing_is_too_much(taken: int, loaded: int) -> None:
    bounds = MemoryBounds()
    assert not bounds.ceiling
    assert not bounds.limit_exceeded(taken, loaded)
    assert not bounds.ceiling_exceeded(taken, loaded)


@given(limit=SIZES, maximum=st.integers(0, 1 << 40), taken=SIZES, loaded=SIZES)
def test_a_process_that_outgrows_its_limit_is_replaced_between_batches(
    limit: int, maximum: int, taken: int, loaded: int
) -> None:
    bounds = MemoryBounds(limit=limit, maximum=maximum)
    assert bounds.limit_exceeded(taken, loaded) or not bounds.ceiling_exceeded(taken, loaded)


@given(limit=SIZES, loaded=SIZES)
def test_a_process_that_is_large_as_soon_as_it_is_loaded_is_neither_replaced_nor_killed(
    limit: int, loaded: int
) -> None:
    bounds = MemoryBounds(limit=limit)
    assert not bounds.limit_exceeded(loaded, loaded)
    assert not bounds.ceiling_exceeded(loaded, loaded)


def test_a_maximum_of_its_own_holds_to_the_byte() -> None:
    bounds = MemoryBounds(limit=100, maximum=300)
    assert not bounds.ceiling_exceeded(300, 50)
    assert bounds.ceiling_exceeded(301, 50)
    assert MemoryBounds(limit=100).ceiling == 200
