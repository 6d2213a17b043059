import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.models.families.text_crops import crop_line, reading_order
from workers.models.families.text_detection import Polygon


def box(left: float, top: float, width: float, height: float) -> Polygon:
    right, bottom = left + width, top + height
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=np.float32)


def test_an_upright_box_is_cut_out_as_it_is() -> None:
    page = np.random.default_rng(0).integers(0, 256, (100, 200, 3), dtype=np.uint8)
    crop = crop_line(page, box(20, 30, 60, 20))
    assert crop.shape == (20, 60, 3)
    np.testing.assert_array_equal(crop, page[30:50, 20:80])


def test_a_standing_line_is_laid_down() -> None:
    page = np.zeros((200, 100, 3), dtype=np.uint8)
    page[20:40, 30:50] = 255  # the upper end of the line
    crop = crop_line(page, box(30, 20, 20, 100))
    assert crop.shape == (20, 100, 3)
    assert crop[:, :15].mean() > 250
    assert crop[:, -15:].mean() < 5


def test_a_slanted_line_is_brought_upright() -> None:
    rows, columns = np.mgrid[0:200, 0:200]
    band = (np.abs(rows - columns) < 10).astype(np.uint8) * 255
    page = np.repeat(band[:, :, np.newaxis], 3, axis=2)
    along, across = np.array([1, 1]) / np.sqrt(2), np.array([-1, 1]) / np.sqrt(2)
    middle = np.array([100, 100])
    corners = [middle + 60 * a * along + 6 * b * across for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    crop = crop_line(page, np.array(corners, dtype=np.float32))
    assert crop.shape[1] > 5 * crop.shape[0]
    assert crop.mean() > 240


@pytest.mark.parametrize("polygon", [box(10, 10, 0, 0), box(0, 0, 500, 500), box(-20, -20, 40, 30)])
def test_degenerate_and_overhanging_boxes_give_a_crop(polygon: Polygon) -> None:
    crop = crop_line(np.full((50, 60, 3), 7, dtype=np.uint8), polygon)
    assert crop.size
    assert (crop == 7).all()


def test_lines_are_read_from_the_top_and_each_from_the_left() -> None:
    polygons = [box(300, 12, 80, 20), box(10, 60, 200, 20), box(10, 8, 100, 22), box(150, 10, 100, 20)]
    assert reading_order(polygons) == [2, 3, 0, 1]


def test_small_print_keeps_its_lines_apart() -> None:
    # Eight pixels from line to line: within PaddleX's ten, so it would mix these two.
    assert reading_order([box(100, 0, 50, 6), box(0, 8, 50, 6)]) == [0, 1]


def test_no_boxes_have_no_order() -> None:
    assert reading_order([]) == []


BOXES = st.lists(
    st.tuples(st.integers(0, 900), st.integers(0, 900), st.integers(5, 300), st.integers(5, 60)), max_size=12
)


@given(BOXES)
def test_the_order_is_a_permutation(boxes: list[tuple[int, int, int, int]]) -> None:
    assert sorted(reading_order([box(*each) for each in boxes])) == list(range(len(boxes)))


@given(BOXES, st.sampled_from([0.5, 2.0, 4.0]), st.integers(0, 64))
def test_the_order_does_not_change_with_the_page_s_scale_or_margin(
    boxes: list[tuple[int, int, int, int]], scale: float, margin: int
) -> None:
    polygons = [box(*each) for each in boxes]
    moved = [(polygon * scale + margin).astype(np.float32) for polygon in polygons]
    assert reading_order(moved) == reading_order(polygons)


@given(
    st.permutations(range(12)),
    st.lists(st.floats(-3, 3), min_size=12, max_size=12),
    st.integers(1, 12),
)
def test_words_that_dance_on_their_line_stay_on_it(order: list[int], jitter: list[float], words: int) -> None:
    polygons = {n: box(n % words * 100, n // words * 40 + jitter[n], 80, 20) for n in range(12)}
    found = reading_order([polygons[n] for n in order])
    assert [order[i] for i in found] == list(range(12))
