"""Nine digits, computed instead of written and read."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from workers.services.decimals import round_floats

FLOATS = st.floats(width=32)


@given(arrays(np.float32, st.integers(0, 40), elements=FLOATS))
def test_every_float_is_the_one_that_its_nine_digits_say(numbers: np.ndarray) -> None:
    written = [float(f"{number:.9g}") for number in numbers.tolist()]
    assert list(map(repr, round_floats(numbers))) == list(map(repr, written))


@given(arrays(np.float32, 40, elements=st.floats(-1, 1, width=32)))
def test_every_float_is_still_the_same_float32(numbers: np.ndarray) -> None:
    assert np.array_equal(np.array(round_floats(numbers), np.float32), numbers)


def test_every_number_of_an_embedding_has_the_digits_that_were_written_one_by_one() -> None:
    numbers = (np.random.default_rng(0).standard_normal(200_000) / 36).astype(np.float32)
    assert round_floats(numbers) == tuple(float(f"{number:.9g}") for number in numbers.tolist())


@pytest.mark.parametrize("number", [0.0, -0.0, 1e-45, 3.4028235e38, 1.0, 0.1, 9.999999999, 2.0**-24])
def test_numbers_that_cannot_be_scaled_exactly_are_written_and_read(number: float) -> None:
    (found,) = round_floats(np.array([number], np.float32))
    expected = float(f"{float(np.float32(number)):.9g}")
    assert found == expected
    assert math.copysign(1, found) == math.copysign(1, number)
