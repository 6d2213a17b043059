import numpy as np
import pytest

from paddlewheel.errors import ModelUnavailable
from tests.unit.models.conftest import ORIENTATION, MakeDirectory
from workers.models.families.text_orientation import TextOrientation
from workers.models.home.directory import ModelDirectory

PADDLE = ("inference.pdmodel", "inference.pdiparams")


@pytest.fixture
def classifier(make_directory: MakeDirectory) -> TextOrientation:
    return TextOrientation.open(ModelDirectory.open(make_directory(ORIENTATION, *PADDLE)))


@pytest.mark.parametrize(
    ("probabilities", "angle", "score"),
    [((0.98, 0.02), 0, 0.98), ((0.05, 0.95), 180, 0.95), ((0.2, 0.8), 0, 0.2), ((0.1, 0.9), 180, 0.9)],
)
def test_a_line_is_turned_only_when_the_classifier_is_sure(
    classifier: TextOrientation, probabilities: tuple[float, float], angle: int, score: float
) -> None:
    turned, sureness = classifier.postprocess((np.array(probabilities),))
    assert turned == angle
    assert sureness == pytest.approx(score)


@pytest.mark.parametrize("shape", [(1, 1), (20, 40), (48, 192), (30, 5000), (900, 2)])
def test_every_line_has_the_same_tensor_shape(classifier: TextOrientation, shape: tuple[int, int]) -> None:
    (tensor,) = classifier.preprocess(np.full((*shape, 3), 255, dtype=np.uint8))
    assert ((tensor.shape,),) == classifier.warmup_shapes
    content = min(max(-(-48 * shape[1] // shape[0]), 1), 192)
    assert (tensor[:, :, :content] == 1).all()
    assert not tensor[:, :, content:].any()


def test_paddlex_s_own_line_classifiers_are_squeezed_and_normalized(make_directory: MakeDirectory) -> None:
    steps = [
        {"ResizeImage": {"size": [160, 80]}},
        {"NormalizeImage": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "scale": 1 / 255}},
        {"ToCHWImage": None},
    ]
    config = {
        "Global": {"model_name": "PP-LCNet_x0_25_textline_ori"},
        "PreProcess": {"transform_ops": steps},
        "PostProcess": {"Topk": {"topk": 1, "label_list": ["180_degree", "0_degree"]}},
    }
    model = TextOrientation.open(ModelDirectory.open(make_directory(config, *PADDLE)))
    (tensor,) = model.preprocess(np.zeros((48, 600, 3), dtype=np.uint8))
    assert tensor.shape == (3, 80, 160)
    np.testing.assert_allclose(tensor[:, 0, 0], [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225], rtol=1e-6)
    assert model.postprocess((np.array([0.99, 0.01]),))[0] == 180


def test_of_a_long_line_the_middle_is_looked_at(classifier: TextOrientation) -> None:
    line = np.zeros((20, 1000, 3), dtype=np.uint8)
    line[:, 440:560] = 255
    (tensor,) = classifier.preprocess(line)
    assert (tensor == 1).all()


def test_a_classifier_without_a_size_is_refused(make_directory: MakeDirectory) -> None:
    config = {**ORIENTATION, "PreProcess": {"transform_ops": [{"ToCHWImage": None}]}}
    with pytest.raises(ModelUnavailable, match="image_shape"):
        TextOrientation.open(ModelDirectory.open(make_directory(config, *PADDLE)))
