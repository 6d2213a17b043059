import numpy as np
import pytest

from paddlewheel.errors import ModelFailed
from tests.sample_pictures import waves
from tests.unit.models.conftest import FEATURE, NORMALIZE, MakeDirectory
from workers.models.families.image_feature import ImageFeature
from workers.models.home.directory import ModelDirectory


@pytest.fixture
def directory(make_directory: MakeDirectory) -> ModelDirectory:
    return ModelDirectory.open(make_directory(FEATURE, "inference.onnx"))


@pytest.mark.parametrize("flip", [False, True])
def test_every_picture_has_the_same_tensor_shape(directory: ModelDirectory, flip: bool) -> None:
    embedder = ImageFeature.open(directory, flip=flip)
    for shape in ((5, 9), (24, 32), (300, 40)):
        (tensor,) = embedder.preprocess(waves(*shape))
        assert tensor.shape == ((2, 3, 24, 32) if flip else (3, 24, 32))
        assert embedder.warmup_shapes == ((tensor.shape,),)


def test_an_embedding_has_the_length_one(directory: ModelDirectory) -> None:
    embedding = ImageFeature.open(directory).postprocess((np.array([3, 0, -4], dtype=np.float32),))
    np.testing.assert_allclose(embedding, [0.6, 0, -0.8], rtol=1e-6)
    assert embedding.dtype == np.float32


def test_with_flip_the_mirrored_picture_s_features_are_added(directory: ModelDirectory) -> None:
    embedder = ImageFeature.open(directory, flip=True)
    (views,) = embedder.preprocess(waves(48, 64))
    np.testing.assert_array_equal(views[1], views[0][:, :, ::-1])
    features = np.array([[1, 5], [2, -1]], dtype=np.float32)
    np.testing.assert_allclose(embedder.postprocess((features,)), [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("feature", [[0, 0], [np.nan, 1], [np.inf, 1], [3e38, 3e38]])
def test_features_without_a_direction_are_the_model_s_failure(
    directory: ModelDirectory, feature: list[float]
) -> None:
    with np.errstate(over="ignore"), pytest.raises(ModelFailed, match="PP-ShiTuV2_rec answered"):
        ImageFeature.open(directory).postprocess((np.array(feature, dtype=np.float32),))


def test_an_interpolation_in_the_config_changes_nothing_as_in_paddlex(
    directory: ModelDirectory, make_directory: MakeDirectory
) -> None:
    steps = [
        {"ResizeImage": {"size": [32, 24], "backend": "pil", "interpolation": "BICUBIC"}},
        {"NormalizeImage": NORMALIZE},
        {"ToCHWImage": None},
    ]
    config = {**FEATURE, "PreProcess": {"transform_ops": steps}}
    other = ModelDirectory.open(make_directory(config, "inference.onnx", name="other"))
    picture = waves(100, 90)
    np.testing.assert_array_equal(
        ImageFeature.open(other).preprocess(picture)[0], ImageFeature.open(directory).preprocess(picture)[0]
    )
