import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from paddlewheel.errors import ConfigurationError, ModelUnavailable
from tests.unit.models.conftest import RECOGNITION, MakeDirectory
from workers.models.families.network import best_classes
from workers.models.families.text_recognition import MAX_WIDTH, TextRecognition
from workers.models.home.directory import ModelDirectory

PADDLE = ("inference.pdmodel", "inference.pdiparams")


def recognizer(width_step: int = 1) -> TextRecognition:
    return TextRecognition(name="tiny", characters=["a", "b", "c"], width_step=width_step)


def noise(width: int, height: int) -> NDArray[np.uint8]:
    return np.random.default_rng(width * 7 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)


def outputs(classes: list[int], probabilities: list[float]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    return np.array(classes, dtype=np.int32), np.array(probabilities, dtype=np.float32)


@pytest.mark.parametrize(
    ("classes", "text"),
    [
        ([], ""),
        ([0, 0, 0], ""),
        ([1, 1, 2], "ab"),
        ([1, 0, 1], "aa"),
        ([0, 3, 3, 0, 0, 4, 1], "c a"),
        ([4], " "),
    ],
)
def test_repeats_are_joined_and_blanks_dropped(classes: list[int], text: str) -> None:
    assert recognizer().postprocess(outputs(classes, [0.5] * len(classes)))[0] == text


def test_the_score_is_the_mean_of_the_characters_that_are_kept() -> None:
    text, score = recognizer().postprocess(outputs([1, 1, 0, 2], [0.9, 0.1, 0.2, 0.5]))
    assert text == "ab"
    assert score == pytest.approx(0.7)


def test_an_empty_text_has_score_zero() -> None:
    assert recognizer().postprocess(outputs([0, 0], [0.9, 0.9])) == ("", 0.0)


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(0, 1, width=32, allow_subnormal=False)), max_size=60))
def test_decoding_agrees_with_one_step_at_a_time(steps: list[tuple[int, float]]) -> None:
    expected, last = [], 0
    for index, _ in steps:
        if index not in (0, last):
            expected.append(("", "a", "b", "c", " ")[index])
        last = index
    text, score = recognizer().postprocess(outputs([s[0] for s in steps], [s[1] for s in steps]))
    assert text == "".join(expected)
    assert 0 <= score <= 1


@given(st.integers(1, 5), st.integers(1, 7), st.integers(2, 9), st.integers(0, 2**31))
def test_the_reduction_keeps_the_best_class_and_its_probability(
    items: int, steps: int, classes: int, seed: int
) -> None:
    probabilities = np.random.default_rng(seed).random((items, steps, classes), dtype=np.float32)
    best, top = best_classes(probabilities)
    assert best.dtype == np.int32
    assert top.dtype == np.float32
    np.testing.assert_array_equal(best, probabilities.argmax(axis=2))
    np.testing.assert_array_equal(top, probabilities.max(axis=2))


@given(st.integers(1, 600), st.integers(1, 80))
def test_the_tensor_is_paddlex_s_bit_for_bit(width: int, height: int) -> None:
    image = noise(width, height)
    columns = int(48 * max(320 / 48, width * 1.0 / height))
    content = min(math.ceil(48 * width / float(height)), columns)
    if columns > MAX_WIDTH:
        columns = content = MAX_WIDTH
    line = cv2.resize(image, (content, 48)).astype("float32").transpose((2, 0, 1)) / 255
    line -= 0.5
    line /= 0.5
    expected = np.zeros((3, 48, columns), dtype=np.float32)
    expected[:, :, :content] = line
    (tensor,) = recognizer().preprocess(image)
    np.testing.assert_array_equal(tensor, expected)


@given(st.integers(1, 2000), st.integers(1, 100), st.sampled_from([8, 32, 64, 100]))
def test_a_width_step_only_adds_zeros_to_the_right(width: int, height: int, step: int) -> None:
    image = noise(width, height)
    (exact,), (stepped,) = recognizer().preprocess(image), recognizer(width_step=step).preprocess(image)
    assert stepped.shape[2] in (320, -(-exact.shape[2] // step) * step)
    np.testing.assert_array_equal(stepped[:, :, : exact.shape[2]], exact)
    assert not stepped[:, :, exact.shape[2] :].any()


@pytest.mark.parametrize("shape", [(1, 1), (48, 1), (4000, 3), (1, 9000), (3, 100000 // 3)])
def test_lines_of_extreme_shapes_get_a_tensor(shape: tuple[int, int]) -> None:
    (tensor,) = recognizer().preprocess(np.zeros((*shape, 3), dtype=np.uint8))
    assert tensor.shape[:2] == (3, 48)
    assert 320 <= tensor.shape[2] <= MAX_WIDTH


def test_a_model_trained_on_rgb_gets_rgb(make_directory: MakeDirectory) -> None:
    image = noise(100, 48)
    steps = [{"DecodeImage": {"img_mode": "RGB"}}, {"RecResizeImg": {"image_shape": [3, 48, 320]}}]
    config = {**RECOGNITION, "PreProcess": {"transform_ops": steps}}
    (rgb,) = TextRecognition.open(ModelDirectory.open(make_directory(config, *PADDLE))).preprocess(image)
    (bgr,) = recognizer().preprocess(image)
    np.testing.assert_array_equal(rgb, bgr[::-1])


def test_another_input_shape_takes_the_place_of_the_model_s(make_directory: MakeDirectory) -> None:
    directory = ModelDirectory.open(make_directory(RECOGNITION, *PADDLE))
    model = TextRecognition.open(directory, image_shape=(3, 32, 256))
    assert model.preprocess(noise(48, 100))[0].shape == (3, 32, 256)
    assert model.warmup_shapes == (((3, 32, 256),),)


def test_warm_up_uses_the_shape_of_short_lines(make_directory: MakeDirectory) -> None:
    model = TextRecognition.open(ModelDirectory.open(make_directory(RECOGNITION, *PADDLE)))
    assert model.warmup_shapes == ((model.preprocess(noise(60, 20))[0].shape,),)


def test_a_width_step_below_one_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="width_step"):
        recognizer(width_step=0)


@pytest.mark.parametrize(
    ("part", "complaint"),
    [
        ({"PostProcess": {"name": "CTCLabelDecode"}}, "character_dict"),
        ({"PreProcess": {"transform_ops": [{"KeepKeys": None}]}}, "image_shape"),
        ({"PreProcess": {}}, "transform_ops"),
    ],
)
def test_a_config_that_lacks_a_part_is_explained(
    make_directory: MakeDirectory, part: dict[str, object], complaint: str
) -> None:
    directory = ModelDirectory.open(make_directory({**RECOGNITION, **part}, *PADDLE))
    with pytest.raises(ModelUnavailable, match=complaint):
        TextRecognition.open(directory)
