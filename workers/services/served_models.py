"""Every model that a worker serves, opened from its settings: the halves that need no network."""

from collections.abc import Mapping
from dataclasses import dataclass

from paddlewheel.errors import ConfigurationError
from workers.models.engines.samples import PreparesImages
from workers.models.families.image_classification import ImageClassification
from workers.models.families.image_feature import ImageFeature
from workers.models.families.text_detection import TextDetection
from workers.models.families.text_orientation import TextOrientation
from workers.models.families.text_recognition import TextRecognition
from workers.models.home.directory import ModelDirectory, ModelFamily
from workers.models.home.home import ModelHome
from workers.services.embedders import Embedder, files_digest
from workers.services.face_finding import FaceDetector, open_detector
from workers.settings import WorkerSettings


@dataclass(frozen=True, kw_only=True)
class ServedModels:
    """By family and name; the first of a family is its default, an empty one is turned off."""

    directories: Mapping[str, ModelDirectory]
    recognition: Mapping[str, TextRecognition]
    detection: Mapping[str, TextDetection]
    orientation: TextOrientation | None
    face_detection: Mapping[str, FaceDetector]
    face_features: Mapping[str, Embedder]
    image_features: Mapping[str, Embedder]
    classification: Mapping[str, ImageClassification]

    @property
    def halves(self) -> dict[str, PreparesImages]:
        """What prepares the items of each model."""
        found: dict[str, PreparesImages] = {**self.recognition, **self.detection}
        if self.orientation is not None:
            found[self.orientation.name] = self.orientation
        embedders = {**self.face_features, **self.image_features}
        found |= {**self.face_detection, **self.classification}
        return found | {name: each.model for name, each in embedders.items()}


def open_models(settings: WorkerSettings) -> ServedModels:
    """Open what the settings name. Raises ModelUnknown, ModelUnavailable, ConfigurationError."""
    orientation = (settings.orientation_model,) if settings.orientation_model else ()
    directories = open_directories(
        settings,
        *settings.recognition_models,
        *settings.detection_models,
        *orientation,
        *settings.face_detection_models,
        *settings.face_feature_models,
        *settings.image_feature_models,
        *settings.classification_models,
    )
    if not directories:
        raise ConfigurationError("The settings name no model at all: a worker serves at least one.")
    return ServedModels(
        directories=directories,
        recognition={
            name: TextRecognition.open(
                directories[name], width_step=settings.width_step, image_shape=settings.input_shape
            )
            for name in settings.recognition_models
        },
        detection={name: TextDetection.open(directories[name]) for name in settings.detection_models},
        orientation=TextOrientation.open(directories[orientation[0]]) if orientation else None,
        face_detection={name: open_detector(directories[name]) for name in settings.face_detection_models},
        face_features=_embedders(directories, settings.face_feature_models, flip=settings.face_feature_flip),
        image_features=_embedders(directories, settings.image_feature_models),
        classification={
            name: ImageClassification.open(_of("image_classification", directories[name]))
            for name in settings.classification_models
        },
    )


def open_directories(settings: WorkerSettings, *names: str) -> dict[str, ModelDirectory]:
    """The directory of every name, once. Raises ModelUnknown, ModelUnavailable."""
    home = ModelHome(settings.model_home, settings.model_directories)
    return {name: home.open(name) for name in names}


def _embedders(
    directories: Mapping[str, ModelDirectory], names: tuple[str, ...], *, flip: bool = False
) -> dict[str, Embedder]:
    return {
        name: Embedder(
            model=ImageFeature.open(_of("image_feature", directories[name]), flip=flip),
            digest=files_digest(directories[name], flip=flip),
        )
        for name in names
    }


def _of(family: ModelFamily, directory: ModelDirectory) -> ModelDirectory:
    if directory.family != family:
        raise ConfigurationError(f"{directory.name} is a model of {directory.family}, not of {family}.")
    return directory
