import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from workers.models.families.detected_boxes import NO_CLASS, boxes_by_item


@given(counts=st.lists(st.integers(0, 7), min_size=1, max_size=9), spare=st.integers(0, 3))
def test_every_box_goes_to_its_own_item_in_order(counts: list[int], spare: int) -> None:
    boxes = np.arange((sum(counts) + spare) * 6, dtype=np.float32).reshape(-1, 6)
    rows = boxes_by_item(boxes, np.array(counts, dtype=np.int32), len(counts))
    assert rows.shape == (len(counts), max(1, *counts), 6)
    own = [item[item[:, 0] != NO_CLASS] for item in rows]
    assert [len(item) for item in own] == counts
    np.testing.assert_array_equal(np.concatenate(own), boxes[: sum(counts)])


@pytest.mark.parametrize(
    "nothing", [np.zeros((0, 6), np.float32), np.full((1, 1), -1, np.float32), np.zeros((0,), np.float32)]
)
def test_no_boxes_may_have_any_shape(nothing: NDArray[np.float32]) -> None:
    rows = boxes_by_item(nothing, np.zeros(3, dtype=np.int32), 3)
    assert (rows[:, :, 0] == NO_CLASS).all()


@pytest.mark.parametrize(
    ("shape", "counts", "items"),
    [((5, 6), [3, 3], 2), ((6, 6), [6], 2), ((6, 6), [7, -1], 2), ((6, 10), [3, 3], 2), ((6,), [3, 3], 2)],
)
def test_boxes_that_do_not_fit_their_counts_are_refused(
    shape: tuple[int, ...], counts: list[int], items: int
) -> None:
    with pytest.raises(ValueError, match="counts"):
        boxes_by_item(np.zeros(shape, dtype=np.float32), np.array(counts), items)
