from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from paddlewheel.errors import ConfigurationError, ModelUnavailable
from tests.unit.models.conftest import DETECTION, MakeDirectory
from workers.models.families.text_detection import PageResize, TextDetection, grow, smallest_rectangle
from workers.models.home.directory import ModelDirectory

PADDLE = ("inference.pdmodel", "inference.pdiparams")
SIDES = st.integers(1, 12000)


@pytest.fixture
def detector(make_directory: MakeDirectory) -> TextDetection:
    return TextDetection.open(ModelDirectory.open(make_directory(DETECTION, *PADDLE)))


def probability(width: int, height: int, *boxes: tuple[int, int, int, int]) -> tuple[NDArray[np.float32]]:
    found = np.zeros((1, height, width), dtype=np.float32)
    for left, top, right, bottom in boxes:
        found[0, top:bottom, left:right] = 0.9
    return (found,)


@given(SIDES, SIDES, st.sampled_from(["max", "min", "resize_long"]), st.integers(32, 2000))
def test_both_sides_become_multiples_of_32_within_the_limit(
    width: int, height: int, limit: Any, side: int
) -> None:
    columns, rows = PageResize(side=side, limit=limit, max_side=4000).size(width, height)
    assert columns % 32 == rows % 32 == 0
    assert 32 <= columns <= 4000
    assert 32 <= rows <= 4000


@pytest.mark.parametrize(
    ("limit", "page", "size"),
    [
        ("max", (640, 480), (640, 480)),
        ("max", (1920, 960), (960, 480)),
        ("min", (1920, 1080), (1920, 1088)),
        ("min", (480, 480), (960, 960)),
        ("resize_long", (480, 240), (960, 480)),
        ("min", (5000, 10), (4000, 32)),
    ],
)
def test_a_page_is_scaled_by_its_limit(limit: Any, page: tuple[int, int], size: tuple[int, int]) -> None:
    assert PageResize(side=960, limit=limit).size(*page) == size


@pytest.mark.parametrize(
    ("name", "size"), [("PP-OCRv4_mobile_det", (960, 480)), ("some_other_det", (1920, 960))]
)
def test_resize_long_limits_the_side_that_paddlex_limits_for_that_name(
    make_directory: MakeDirectory, name: str, size: tuple[int, int]
) -> None:
    path = make_directory({**DETECTION, "Global": {"model_name": name}}, *PADDLE)
    (tensor,) = TextDetection.open(ModelDirectory.open(path)).preprocess(
        np.zeros((960, 1920, 3), dtype=np.uint8)
    )
    assert tensor.shape == (3, size[1], size[0])


def test_the_tensor_is_paddlex_s_bit_for_bit(detector: TextDetection) -> None:
    page = np.random.default_rng(1).integers(0, 256, (333, 500, 3), dtype=np.uint8)
    resized = cv2.resize(page, (512, 320)).astype(np.float32)
    scale = 1.0 / 255.0
    for channel, (mean, std) in enumerate(zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)):
        resized[:, :, channel] *= scale / std
        resized[:, :, channel] += -mean / std
    (tensor,) = detector.preprocess(page)
    np.testing.assert_array_equal(tensor, resized.transpose(2, 0, 1))


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (7, 9), (3, 9000), (9000, 3), (5000, 6000)])
def test_pages_of_extreme_shapes_get_a_tensor_and_an_answer(
    detector: TextDetection, shape: tuple[int, int]
) -> None:
    (tensor,) = detector.preprocess(np.zeros((*shape, 3), dtype=np.uint8))
    blank = (np.zeros((1, *tensor.shape[1:]), dtype=np.float32),)
    full = (np.ones((1, *tensor.shape[1:]), dtype=np.float32),)
    assert detector.postprocess(blank, shape[1], shape[0]) == []
    for polygon, _ in detector.postprocess(full, shape[1], shape[0]):
        assert polygon.min() >= 0
        assert (polygon.max(axis=0) <= [shape[1], shape[0]]).all()


def test_a_box_is_found_grown_and_scaled_to_the_page(detector: TextDetection) -> None:
    found = detector.postprocess(probability(320, 160, (100, 60, 200, 80)), 640, 320)
    ((polygon, score),) = found
    # Unclipped by 99 * 19 * 1.5 / 236 = 12 pixels of the map, that is 24 of the page.
    np.testing.assert_allclose(polygon, [[176, 96], [422, 96], [422, 182], [176, 182]], atol=2)
    assert score == pytest.approx(0.9, abs=0.01)


def test_specks_and_faint_regions_are_no_lines(detector: TextDetection) -> None:
    (faint,) = probability(160, 160, (10, 10, 12, 12))
    faint[0, 80:100, 40:140] = 0.5
    assert detector.postprocess((faint,), 160, 160) == []


def test_as_many_lines_are_found_as_there_are(detector: TextDetection) -> None:
    boxes = [(40, top, 240, top + 12) for top in range(20, 300, 40)]
    found = detector.postprocess(probability(320, 320, *boxes), 320, 320)
    tops = sorted(float(polygon[:, 1].min()) for polygon, _ in found)
    assert len(tops) == len(boxes)
    assert all(top < box[1] for top, box in zip(tops, boxes, strict=True))


@given(st.floats(-80, 80), st.integers(60, 120), st.integers(12, 25))
def test_corners_start_at_the_top_left_and_go_clockwise(angle: float, width: int, height: int) -> None:
    corners = cv2.boxPoints(((200, 200), (width, height), angle))
    found, side = smallest_rectangle(corners)
    assert side == pytest.approx(height, abs=0.1)
    turns = np.roll(found, -1, axis=0) - found
    crosses = turns[:, 0] * np.roll(turns, -1, axis=0)[:, 1] - turns[:, 1] * np.roll(turns, -1, axis=0)[:, 0]
    assert (crosses > 0).all()
    assert found[[0, 3], 0].max() <= found[[1, 2], 0].min()
    assert found[0, 1] < found[3, 1]


def test_growing_moves_every_side_outwards() -> None:
    corners = np.array([[10, 10], [50, 10], [50, 20], [10, 20]], dtype=np.float32)
    outline = grow(corners, 1.5)
    assert outline is not None
    # 40 * 10 * 1.5 / 100 = 6 pixels.
    np.testing.assert_allclose(outline.reshape(-1, 2).min(axis=0), [4, 4], atol=1)
    np.testing.assert_allclose(outline.reshape(-1, 2).max(axis=0), [56, 26], atol=1)


@pytest.mark.parametrize("options", [{"limit": "longest"}, {"side": 0}, {"max_side": 8}])
def test_a_page_size_that_cannot_be_made_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        PageResize(**options)


@pytest.mark.parametrize(
    ("step", "settings", "complaint"),
    [
        ("DetResizeForTest", {"image_shape": [640, 640]}, "image_shape"),
        ("DetResizeForTest", {"limit_side_len": "large"}, "DetResizeForTest"),
        ("DetResizeForTest", {"limit_type": "longest"}, "DetResizeForTest"),
        ("NormalizeImage", {"scale": "__import__('os')"}, "NormalizeImage"),
        ("NormalizeImage", {"scale": "1/0"}, "NormalizeImage"),
        ("NormalizeImage", {"std": [0, 1, 1]}, "NormalizeImage"),
        ("NormalizeImage", {"mean": [0.5]}, "NormalizeImage"),
        ("NormalizeImage", {"mean": 0.5}, "NormalizeImage"),
    ],
)
def test_a_step_with_a_bad_setting_is_named(
    make_directory: MakeDirectory, step: str, settings: dict[str, Any], complaint: str
) -> None:
    config = {**DETECTION, "PreProcess": {"transform_ops": [{step: settings}]}}
    with pytest.raises(ModelUnavailable, match=complaint):
        TextDetection.open(ModelDirectory.open(make_directory(config, *PADDLE)))


@pytest.mark.parametrize("settings", [{"box_type": "poly"}, {"score_mode": "slow"}, {"thresh": "high"}])
def test_postprocessing_that_is_not_served_is_refused(
    make_directory: MakeDirectory, settings: dict[str, Any]
) -> None:
    config = {**DETECTION, "PostProcess": {"name": "DBPostProcess", **settings}}
    with pytest.raises(ModelUnavailable):
        TextDetection.open(ModelDirectory.open(make_directory(config, *PADDLE)))
