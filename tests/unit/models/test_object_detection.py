from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from paddlewheel.errors import ModelFailed, ModelUnavailable
from tests.sample_pictures import waves
from tests.unit.models.conftest import OBJECTS, MakeDirectory
from workers.models.families.detection_transforms import DetectionTransforms
from workers.models.families.object_detection import DetectedObject, ObjectDetection
from workers.models.home.directory import ModelDirectory

NO_TRANSFORMS = DetectionTransforms(resize=None, rest=(), takes_size=False)


def open_model(make_directory: MakeDirectory, **settings: Any) -> ObjectDetection:
    directory = ModelDirectory.open(make_directory({**OBJECTS, **settings}, "inference.onnx"))
    return ObjectDetection.open(directory)


def rows(*boxes: tuple[float, ...]) -> tuple[NDArray[np.float32]]:
    return (np.array(boxes, dtype=np.float32).reshape(-1, 6),)


def test_a_picture_becomes_the_network_s_inputs(make_directory: MakeDirectory) -> None:
    detector = open_model(make_directory)
    image, scale = detector.preprocess(waves(80, 240))
    assert image.shape == (3, 40, 60)
    np.testing.assert_array_equal(scale, np.array([0.5, 0.25], dtype=np.float32))
    assert detector.warmup_shapes == ((image.shape, scale.shape),)


def test_boxes_above_the_threshold_are_objects_in_their_order(make_directory: MakeDirectory) -> None:
    found = open_model(make_directory).postprocess(
        rows((1, 0.9, 1, 2, 3, 4), (0, 0.5, 1, 1, 9, 9), (0, 0.7, 5.5, 6, 9, 9), (-1, 0.9, 1, 1, 9, 9)),
        20,
        10,
    )
    assert found == (
        DetectedObject(class_id=1, label="hand", score=float(np.float32(0.9)), box=(1, 2, 3, 4)),
        DetectedObject(class_id=0, label="face", score=float(np.float32(0.7)), box=(5.5, 6, 9, 9)),
    )


def test_another_threshold_may_be_asked_for(make_directory: MakeDirectory) -> None:
    detector, outputs = open_model(make_directory, draw_threshold=0.8), rows((0, 0.7, 1, 1, 5, 5))
    assert detector.postprocess(outputs, 20, 10) == ()
    assert len(detector.postprocess(outputs, 20, 10, 0.6)) == 1
    assert len(detector.postprocess(rows((0, 0.1, 1, 1, 5, 5)), 20, 10, 0.0)) == 1


@given(
    corners=st.lists(st.floats(-50, 50, width=32), min_size=4, max_size=4),
    width=st.integers(3, 30),
    height=st.integers(3, 30),
)
def test_every_object_lies_in_the_picture_and_has_an_area(
    corners: list[float], width: int, height: int
) -> None:
    detector = ObjectDetection(name="d", transforms=NO_TRANSFORMS, labels=["face"])
    found = detector.postprocess(rows((0, 0.9, *corners)), width, height)
    x1, y1, x2, y2 = max(0, corners[0]), max(0, corners[1]), min(width, corners[2]), min(height, corners[3])
    assert [each.box for each in found] == ([(x1, y1, x2, y2)] if x1 < x2 and y1 < y2 else [])


def test_a_box_of_no_numbers_is_no_object(make_directory: MakeDirectory) -> None:
    outputs = rows((0, 0.9, np.nan, 1, 5, 5), (0, np.nan, 1, 1, 5, 5), (0, 0.9, 1, -np.inf, 5, np.inf))
    assert [each.box for each in open_model(make_directory).postprocess(outputs, 20, 10)] == [(1, 0, 5, 10)]


def test_an_image_as_large_as_the_page_is_left_out_where_there_is_anything_else(
    make_directory: MakeDirectory,
) -> None:
    detector = open_model(make_directory, label_list=["image", "text"])
    page, text = (0, 0.9, 0, 0, 100, 50), (1, 0.8, 5, 5, 95, 45)
    assert [each.label for each in detector.postprocess(rows(page, text), 100, 50)] == ["text"]
    assert [each.label for each in detector.postprocess(rows(page), 100, 50)] == ["image"]
    assert len(detector.postprocess(rows(page, page), 100, 50)) == 2


def test_a_class_that_has_no_label_is_the_model_s_failure(make_directory: MakeDirectory) -> None:
    with pytest.raises(ModelFailed, match="label_list"):
        open_model(make_directory).postprocess(rows((2, 0.9, 1, 1, 5, 5)), 20, 10)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"label_list": []}, "label_list is missing"),
        ({"label_list": "face"}, "label_list is missing"),
        ({"draw_threshold": "high"}, "draw_threshold is 'high'"),
        ({"draw_threshold": {0: 0.4}}, "draw_threshold is {0: 0.4}"),
        ({"draw_threshold": 50}, "draw_threshold is 50"),
        ({"layout_nms": True}, "layout_nms cannot be honoured"),
    ],
)
def test_a_config_that_cannot_be_used_is_explained(
    make_directory: MakeDirectory, settings: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ModelUnavailable, match=complaint):
        open_model(make_directory, **settings)
