"""CenterFace's half without the network: maps are drawn by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from paddlewheel.errors import ImageTooNarrow, ModelFailed, ModelUnavailable
from tests.unit.models.conftest import MakeDirectory
from workers.models.families.face_detection import CenterFace, FaceResize
from workers.models.home.catalog import CATALOG
from workers.models.home.directory import ModelDirectory

SIZES = st.integers(1, 5000)
CONFIG = CATALOG["CenterFace"].config


def maps(width: int, height: int, *faces: tuple[int, int, float, float, float]) -> tuple[NDArray[Any], ...]:
    """The network's answer for a tensor of that size: (column, row, score, face width, face height) each."""
    rows, columns = height // 4, width // 4
    centres, sizes, offsets, points = (
        np.zeros((channels, rows, columns), dtype=np.float32) for channels in (1, 2, 2, 10)
    )
    for column, row, score, face_width, face_height in faces:
        centres[0, row, column] = score
        sizes[:, row, column] = np.log([face_height / 4, face_width / 4])
        offsets[:, row, column] = (0.25, -0.25)
        points[:, row, column] = (0.3, 0.25, 0.3, 0.75, 0.5, 0.5, 0.8, 0.3, 0.8, 0.7)
    return centres, sizes, offsets, points


def detector(**changes: Any) -> CenterFace:
    return CenterFace(name="CenterFace", **{"resize": FaceResize(min_long=32, max_long=640), **changes})


def test_a_centre_becomes_a_box_and_five_points_in_pixels_of_the_picture() -> None:
    # A picture of 1280 x 960 is halved: what is at (x, y) of the tensor is at (2x, 2y) of the picture.
    (face,) = detector().postprocess(maps(640, 480, (50, 40, 0.9, 40, 60)), 1280, 960)
    middle_x, middle_y = 2 * (50 - 0.25 + 0.5) * 4, 2 * (40 + 0.25 + 0.5) * 4
    assert face.box == pytest.approx((middle_x - 40, middle_y - 60, middle_x + 40, middle_y + 60))
    assert face.score == pytest.approx(0.9)
    left, top = face.box[:2]
    expected = [(0.25, 0.3), (0.75, 0.3), (0.5, 0.5), (0.3, 0.8), (0.7, 0.8)]
    np.testing.assert_allclose(
        face.landmarks, [(left + 80 * x, top + 120 * y) for x, y in expected], rtol=1e-5
    )


def test_of_two_overlapping_faces_the_better_one_stays() -> None:
    answer = maps(640, 480, (50, 40, 0.7, 40, 40), (51, 41, 0.8, 40, 40), (90, 40, 0.6, 40, 40))
    assert [round(face.score, 1) for face in detector().postprocess(answer, 640, 480)] == [0.8, 0.6]
    tolerant = detector(max_overlap=0.99).postprocess(answer, 640, 480)
    assert [round(face.score, 1) for face in tolerant] == [0.8, 0.7, 0.6]


def test_a_threshold_replaces_that_of_the_model() -> None:
    answer = maps(320, 320, (10, 10, 0.4, 20, 20), (40, 40, 0.6, 20, 20))
    assert len(detector().postprocess(answer, 320, 320)) == 1
    assert len(detector().postprocess(answer, 320, 320, 0.3)) == 2
    assert detector().postprocess(answer, 320, 320, 0.7) == ()


def test_no_more_faces_are_given_than_the_config_allows() -> None:
    answer = maps(640, 480, *((10 + 20 * n, 20, 0.6 + n / 100, 20, 20) for n in range(7)))
    found = detector(max_faces=3).postprocess(answer, 640, 480)
    assert [round(face.score, 2) for face in found] == [0.66, 0.65, 0.64]


def test_boxes_end_at_the_borders_of_the_picture() -> None:
    (face,) = detector().postprocess(maps(320, 320, (0, 79, 0.9, 100, 100)), 320, 320)
    assert face.box[0] == 0
    assert face.box[3] == 320
    assert face.landmarks[0, 0] < 0


@given(width=SIZES, height=SIZES)
def test_every_picture_keeps_its_ratio_and_fills_a_multiple_of_the_stride(width: int, height: int) -> None:
    resize = FaceResize(min_long=320, max_long=1280)
    try:
        columns, rows = resize.content(width, height)
    except ImageTooNarrow:
        assert min(width, height) * 1280 / max(width, height) < 1
        return
    canvas = resize.canvas(columns, rows)
    assert 320 <= max(columns, rows) <= 1280
    assert columns / rows == pytest.approx(width / height, rel=0.5 / min(columns, rows) + 1e-3, abs=1)
    assert all(side % 32 == 0 for side in canvas)
    assert all(0 <= side - content < 32 for side, content in zip(canvas, (columns, rows), strict=True))


def test_a_picture_is_padded_at_the_right_and_the_bottom_and_turned_to_rgb() -> None:
    image = np.full((40, 50, 3), (10, 20, 30), dtype=np.uint8)
    (tensor,) = detector().preprocess(image)
    assert tensor.shape == (3, 64, 64)
    assert [channel[:40, :50].min() for channel in tensor] == [30, 20, 10]
    assert tensor[:, 40:].max() == tensor[:, :, 50:].max() == 0


def test_an_output_that_is_no_map_is_the_models_failure() -> None:
    with pytest.raises(ModelFailed, match="no maps of faces"):
        detector().postprocess((np.ones((1, 8, 8), dtype=np.float32),), 32, 32)


def test_the_default_opens_from_its_config(make_directory: MakeDirectory) -> None:
    model = CenterFace.open(ModelDirectory.open(make_directory(CONFIG, "inference.onnx")))
    assert model.warmup_shapes == (((3, 480, 640),),)


@pytest.mark.parametrize(
    ("step", "setting", "value"),
    [
        ("ResizeByLong", "max_long", 0),
        ("ResizeByLong", "min_long", 2000),
        ("ResizeByLong", "stride", "32"),
        ("PostProcess", "score_threshold", 1.5),
        ("PostProcess", "nms_threshold", "low"),
        ("PostProcess", "top_k", True),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(
    make_directory: MakeDirectory, step: str, setting: str, value: object
) -> None:
    config = yaml.safe_load(yaml.safe_dump(dict(CONFIG)))
    part = config["PostProcess"] if step == "PostProcess" else config["PreProcess"]["transform_ops"][0][step]
    part[setting] = value
    path: Path = make_directory(config, "inference.onnx")
    with pytest.raises(ModelUnavailable, match=setting):
        CenterFace.open(ModelDirectory.open(path))
