"""The default models of faces and pictures, on real photographs."""

from collections.abc import Callable
from itertools import combinations
from typing import Literal

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from local.photographs import photographs
from tests.integration.models.conftest import OpenNetwork, Pixels, first
from workers.models.engines.opening import choose_engine
from workers.models.engines.session import ENGINES, SessionOptions
from workers.models.families.face_alignment import align, template_of
from workers.models.families.face_detection import CenterFace, LandmarkedFace
from workers.models.families.image_classification import ImageClassification
from workers.models.families.image_feature import ImageFeature
from workers.models.home.home import ModelHome
from workers.services.thresholds import default_thresholds
from workers.settings import WorkerSettings

Embed = Callable[[Pixels], NDArray[np.float32]]
Find = Callable[..., tuple[LandmarkedFace, ...]]


def picture(name: str) -> Pixels:
    """One of scikit-image's photographs, as BGR."""
    from skimage import data

    return np.ascontiguousarray(np.asarray(getattr(data, name)())[:, :, ::-1])


@pytest.fixture(scope="session")
def find(home: ModelHome, open_network: OpenNetwork) -> Find:
    """The faces in a picture, the best first."""
    detector = CenterFace.open(home.open("CenterFace"))

    def faces(image: Pixels, engine: str = "openvino") -> tuple[LandmarkedFace, ...]:
        outputs = first(open_network("CenterFace", engine), *detector.preprocess(image))
        return detector.postprocess(outputs, image.shape[1], image.shape[0])

    return faces


@pytest.fixture(scope="session")
def embed(home: ModelHome, open_network: OpenNetwork) -> Embed:
    """The embedding of a face that was cut out."""
    embedder = ImageFeature.open(home.open("DlibFaceResNet"))
    network = open_network("DlibFaceResNet", "openvino")
    return lambda chip: embedder.postprocess(first(network, *embedder.preprocess(chip)))


@pytest.mark.parametrize("device", ["cpu", "gpu:0"])
@pytest.mark.parametrize("engine", ["auto", "paddle"])
def test_every_default_model_has_an_engine_where_a_worker_runs_it(
    home: ModelHome, device: str, engine: Literal["auto", "paddle"]
) -> None:
    settings = WorkerSettings.model_validate(
        {"broker_url": "redis://nowhere", "device": device, "engine": engine}
    )
    names = (
        *settings.recognition_models,
        *settings.detection_models,
        settings.orientation_model,
        *settings.face_detection_models,
        *settings.face_feature_models,
        *settings.image_feature_models,
        *settings.classification_models,
    )
    options = SessionOptions(engine=engine, device=device)
    chosen = {name: choose_engine(home.open(name), options) for name in names}
    assert len(chosen) == 7
    assert set(chosen.values()) <= ({"paddle"} if device != "cpu" or engine == "paddle" else set(ENGINES))


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime", "paddle"])
def test_the_astronauts_face_and_its_landmarks_are_found_on_every_engine(find: Find, engine: str) -> None:
    (face,) = find(picture("astronaut"), engine)
    assert face.score > 0.85
    np.testing.assert_allclose(face.box, (181, 58, 269, 177), atol=6)
    points = [(203, 102), (247, 105), (223, 125), (203, 142), (241, 144)]
    np.testing.assert_allclose(face.landmarks, points, atol=6)


def test_a_face_is_found_at_every_scale_of_the_picture(find: Find) -> None:
    image = picture("astronaut")
    for scale in (0.1, 0.4, 3.0):
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        (face,) = find(np.asarray(small, dtype=np.uint8))
        np.testing.assert_allclose(np.array(face.box) / scale, (181, 58, 269, 177), atol=20)


def test_a_picture_without_people_has_no_faces(find: Find) -> None:
    assert [find(picture(name)) for name in ("coffee", "rocket", "chelsea")] == [(), (), ()]


def test_the_default_threshold_separates_people(find: Find, embed: Embed) -> None:
    threshold = default_thresholds(["DlibFaceResNet"])["DlibFaceResNet"]
    known = []
    for photograph in photographs():
        image = np.asarray(cv2.imread(str(photograph.path)), dtype=np.uint8)
        (face,) = find(image)
        known.append((photograph.person, embed(align(image, face.landmarks, template_of(150)))))
    assert len({person for person, _ in known}) == 3
    for (person, one), (other, two) in combinations(known, 2):
        assert (float(one @ two) >= threshold) == (person == other), (person, other)


@pytest.mark.parametrize(
    ("name", "label"),
    [("chelsea", "Egyptian cat"), ("coffee", "espresso"), ("rocket", "missile")],
)
def test_pictures_are_classified(home: ModelHome, open_network: OpenNetwork, name: str, label: str) -> None:
    classifier = ImageClassification.open(home.open("EfficientNet-Lite0"))
    outputs = first(open_network("EfficientNet-Lite0", "openvino"), *classifier.preprocess(picture(name)))
    assert label in classifier.postprocess(outputs).label_names[:2]


def test_the_nearest_picture_is_another_view_of_the_same_thing(
    home: ModelHome, open_network: OpenNetwork
) -> None:
    embedder = ImageFeature.open(home.open("EfficientNet-Lite0_feature"))
    network = open_network("EfficientNet-Lite0_feature", "openvino")

    def feature(image: Pixels) -> NDArray[np.float32]:
        return embedder.postprocess(first(network, *embedder.preprocess(image)))

    pictures = [picture(name) for name in ("astronaut", "chelsea", "coffee", "rocket")]
    features = np.stack([feature(image) for image in pictures])
    assert features.shape == (4, 1280)
    for index, image in enumerate(pictures):
        height, width = image.shape[:2]
        view = np.ascontiguousarray(image[height // 8 : -height // 8, width // 10 :, :][:, ::-1])
        assert int((features @ feature(view)).argmax()) == index
