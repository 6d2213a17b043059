"""Detectors with and without landmarks behind one interface, and how a face is cut out."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from paddlewheel.errors import ConfigurationError
from workers.models.families.face_detection import CenterFace, LandmarkedFace
from workers.models.families.object_detection import DetectedObject, ObjectDetection
from workers.models.home.directory import ModelDirectory
from workers.services.face_finding import BoxDetector, FoundFace, LandmarkDetector, cut_out, open_detector

IMAGE = np.arange(100 * 200 * 3, dtype=np.uint32).astype(np.uint8).reshape(100, 200, 3)
POINTS = np.array([[60, 40], [100, 40], [80, 60], [65, 80], [95, 80]], np.float32)
BOXES = [(10.9, 20.2, 40.0, 60.7), (0.0, 0.0, 80.0, 80.0), (5.2, 5.2, 5.9, 50.0)]


class Model:
    """Answers with BOXES, and remembers what it was asked."""

    name = "model"

    def __init__(self, faces: list[Any]) -> None:
        self._faces = faces

    def postprocess(self, outputs: Any, width: int, height: int, threshold: float | None) -> list[Any]:
        self.asked = (outputs, width, height, threshold)
        return self._faces


def test_a_detector_of_boxes_gives_the_largest_first_and_what_can_be_cut_out() -> None:
    model = Model([DetectedObject(class_id=0, label="face", score=0.9, box=box) for box in BOXES])
    detector = BoxDetector(cast(ObjectDetection, model))
    faces = detector.faces((), IMAGE, 0.4)
    assert model.asked == ((), 200, 100, 0.4)
    assert [face.box for face in faces] == [BOXES[1], BOXES[0]]
    assert detector.way == "cropped"
    assert cut_out(IMAGE, faces[1], 112).shape == (40, 30, 3)
    assert (cut_out(IMAGE, faces[1], 112) == IMAGE[20:60, 10:40]).all()


@pytest.mark.parametrize("side", [112, 150])
def test_a_detector_of_landmarks_has_its_faces_aligned(side: int) -> None:
    model = Model([LandmarkedFace(box=BOXES[1], score=0.8, landmarks=POINTS)])
    detector = LandmarkDetector(cast(CenterFace, model))
    (face,) = detector.faces((), IMAGE, None)
    assert detector.way == "aligned"
    assert cut_out(IMAGE, face, side).shape == (side, side, 3)


def test_a_face_is_its_box_and_its_area() -> None:
    assert FoundFace(box=(1, 2, 4, 7), score=1).area == 15


def test_a_model_that_finds_no_faces_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inference.onnx").write_bytes(b"")
    (tmp_path / "inference.yml").write_text(
        "Global: {model_name: m}\nPostProcess: {NormalizeFeatures: null}\n"
    )
    with pytest.raises(ConfigurationError, match="m is a model of image_feature and finds no faces"):
        open_detector(ModelDirectory.open(tmp_path))
