"""Similarity transforms and what they make of pictures."""

import cmath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddlewheel.errors import ModelFailed
from workers.models.families.face_alignment import ARCFACE, DLIB, align, crop_box, similarity, template_of


@given(
    scale=st.floats(0.05, 20),
    angle=st.floats(-3.1, 3.1),
    shift=st.tuples(st.floats(-3000, 3000), st.floats(-3000, 3000)),
)
def test_a_turned_scaled_and_moved_face_is_brought_back(
    scale: float, angle: float, shift: tuple[float, float]
) -> None:
    turned = DLIB.points @ (1, 1j) * cmath.rect(scale, angle) + complex(*shift)
    points = np.column_stack([turned.real, turned.imag])
    transform = similarity(points, DLIB.points)
    np.testing.assert_allclose(points @ transform[:, :2].T + transform[:, 2], DLIB.points, atol=1e-6)


@given(st.lists(st.tuples(st.integers(0, 999), st.integers(0, 999)), min_size=5, max_size=5, unique=True))
def test_a_face_is_never_sheared_or_mirrored(points: list[tuple[int, int]]) -> None:
    turn = similarity(np.array(points, dtype=np.float32), DLIB.points)[:, :2]
    product = turn @ turn.T
    np.testing.assert_allclose(product, product[0, 0] * np.eye(2), atol=1e-9)
    assert np.linalg.det(turn) >= 0


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.5, 7.0])
def test_landmarks_lie_where_the_template_has_them(scale: float) -> None:
    points = DLIB.points * scale + 20
    side = int(150 * scale) + 40
    image = np.zeros((side, side, 3), dtype=np.uint8)
    radius = max(2 * scale, 1)
    rows, columns = np.mgrid[:side, :side]
    for x, y in points:
        image[(columns - x) ** 2 + (rows - y) ** 2 <= radius**2] = 255
    chip = align(image, points, DLIB)
    assert chip.shape == (150, 150, 3)
    for x, y in DLIB.points:
        near = chip[int(y) - 6 : int(y) + 7, int(x) - 6 : int(x) + 7, 0].astype(float)
        weights_y, weights_x = near.sum(axis=1), near.sum(axis=0)
        steps = np.arange(-6, 7)
        near_by = max(0.6, 0.5 / scale)  # half a pixel of the picture
        assert (weights_x @ steps) / near.sum() == pytest.approx(0, abs=near_by)
        assert (weights_y @ steps) / near.sum() == pytest.approx(0, abs=near_by)


def test_what_lies_outside_of_the_picture_is_black() -> None:
    chip = align(np.full((150, 150, 3), 200, dtype=np.uint8), DLIB.points - 75, DLIB)
    assert chip[:70].max() == 0
    assert chip[80:, 80:].min() == 200


def test_one_point_five_times_is_no_face() -> None:
    with pytest.raises(ModelFailed, match="all one point"):
        similarity(np.ones((5, 2), dtype=np.float32), DLIB.points)


def test_the_template_follows_the_side_of_the_embedders_input() -> None:
    assert template_of(150) is DLIB
    np.testing.assert_allclose(template_of(112).points, ARCFACE.points)
    np.testing.assert_allclose(template_of(224).points, 2 * ARCFACE.points)


def test_a_box_is_cut_out_in_whole_pixels() -> None:
    image = np.arange(10 * 10 * 3, dtype=np.uint8).reshape(10, 10, 3)
    assert np.array_equal(crop_box(image, (1.9, 2.2, 5.9, 7.0)), image[2:7, 1:5])
