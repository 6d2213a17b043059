import numpy as np
import pytest

from workers.models.engines.agreement import TOLERANCE, difference
from workers.models.engines.samples import picture, samples
from workers.models.families.text_recognition import TextRecognition

BOXES = np.array([[0, 0.9, 10, 10, 50, 50], [0, 0.8, 60, 60, 90, 90], [1, 0.31, 5, 5, 9, 9]], np.float32)
COUNT = np.array([3], np.int32)


def test_probabilities_differ_by_a_probability() -> None:
    one = np.array([[0.2, 0.8]], np.float32)
    assert difference("image_classification", [one], [one]) == 0
    assert difference("text_recognition", [one], [one[:, ::-1]]) == pytest.approx(0.6)


def test_values_above_one_differ_by_a_part_of_the_largest() -> None:
    one = np.array([[0.0, 200.0]], np.float32)
    assert difference("face_detection", [one], [one + 0.1]) == pytest.approx(0.1 / 200, rel=1e-3)


def test_features_are_compared_at_length_one() -> None:
    one = np.array([[3.0, 4.0]], np.float32)
    assert difference("image_feature", [one], [one * 10]) == pytest.approx(0)
    assert difference("image_feature", [one], [one[:, ::-1]]) == pytest.approx(np.sqrt(0.08))


def test_boxes_may_come_in_another_order() -> None:
    assert difference("object_detection", [BOXES, COUNT], [BOXES[::-1], COUNT]) == 0
    moved = BOXES.copy()
    moved[1, 2] += 0.9
    assert difference("object_detection", [BOXES, COUNT], [moved, COUNT]) == pytest.approx(0.01, rel=1e-4)


def test_an_uncertain_box_does_not_count_and_a_certain_one_does() -> None:
    uncertain = np.array([[1, 0.29, 70, 5, 90, 9]], np.float32)
    more = np.concatenate([BOXES, uncertain])
    assert difference("object_detection", [more, COUNT + 1], [BOXES, COUNT]) == 0
    assert difference("object_detection", [BOXES, COUNT], [BOXES[1:], COUNT]) > 100 * TOLERANCE
    assert difference("object_detection", [BOXES, COUNT], [BOXES[:2], COUNT]) == float("inf")


@pytest.mark.parametrize(
    "other", [[], [np.zeros((1, 3), np.float32)], [np.array([[np.nan, 1.0]], np.float32)]]
)
def test_what_cannot_be_compared_is_infinitely_far(other: list[np.ndarray]) -> None:
    assert difference("text_recognition", [np.array([[0.2, 0.8]], np.float32)], other) == float("inf")


def test_samples_are_a_model_s_tensors_of_different_pictures() -> None:
    one, eight = samples(TextRecognition(name="m", characters="abc"), (1, 8))
    assert [one.inputs[0].shape, eight.inputs[0].shape] == [(1, 3, 48, 320), (8, 3, 48, 320)]
    assert np.array_equal(one.inputs[0][0], eight.inputs[0][0])
    assert len({row.tobytes() for row in eight.inputs[0]}) == 8


def test_a_picture_is_the_same_for_the_same_seed() -> None:
    assert np.array_equal(picture(48, 320, 3), picture(48, 320, 3))
    assert picture(33, 17).shape == (33, 17, 3)
