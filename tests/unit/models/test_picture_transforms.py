from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddlewheel.errors import ImageTooSmall, ModelUnavailable
from tests.sample_pictures import waves
from tests.unit.models.conftest import CLASSIFICATION, NORMALIZE, MakeDirectory
from workers.models.families.interpolation import LINEAR
from workers.models.families.normalization import Normalization
from workers.models.families.picture_transforms import PictureTransforms
from workers.models.home.directory import ModelDirectory

NORMALIZATION = Normalization.scaled(1 / 255, NORMALIZE["mean"], NORMALIZE["std"])
Read = Callable[..., PictureTransforms]


@pytest.fixture
def read(make_directory: MakeDirectory) -> Read:
    """The transforms of a config whose steps are replaced."""

    def transforms(*, crops: bool = True, **steps: Any) -> PictureTransforms:
        given = {"ResizeImage": {"size": 30}, "NormalizeImage": NORMALIZE, "ToCHWImage": None, **steps}
        operations = [{name: settings} for name, settings in given.items() if settings != "missing"]
        config = {**CLASSIFICATION, "PreProcess": {"transform_ops": operations}}
        return PictureTransforms.of(
            ModelDirectory.open(make_directory(config, "inference.onnx")), crops=crops
        )

    return transforms


def test_a_picture_becomes_rgb_planes_of_the_numbers_that_the_network_was_trained_on(read: Read) -> None:
    picture = waves(24, 30)
    tensor = read(ResizeImage={"size": [30, 24]}).tensor(picture)
    assert tensor.shape == (3, 24, 30)
    for plane, channel in enumerate((2, 1, 0)):
        expected = (picture[:, :, channel] / 255 - NORMALIZE["mean"][plane]) / NORMALIZE["std"][plane]
        np.testing.assert_allclose(tensor[plane], expected, rtol=1e-5, atol=1e-6)


def test_a_size_is_width_and_height(read: Read) -> None:
    assert read(ResizeImage={"size": [40, 20]}).tensor(waves(50, 50)).shape == (3, 20, 40)
    assert read(ResizeImage={"size": 16}).tensor(waves(50, 70)).shape == (3, 16, 16)


@pytest.mark.parametrize(
    ("shape", "scaled"),
    [((64, 96), (32, 48)), ((96, 64), (48, 32)), ((10, 33), (32, 106)), ((7, 7), (32, 32))],
)
def test_the_long_side_follows_the_short_one(
    read: Read, shape: tuple[int, int], scaled: tuple[int, int]
) -> None:
    assert read(ResizeImage={"resize_short": 32}).tensor(waves(*shape)).shape == (3, *scaled)


def test_the_crop_is_the_middle(read: Read) -> None:
    picture = waves(50, 61)
    tensor = read(ResizeImage={"size": [61, 50]}, CropImage={"size": [20, 31]}).tensor(picture)
    whole = read(ResizeImage={"size": [61, 50]}).tensor(picture)
    np.testing.assert_array_equal(tensor, whole[:, 9:40, 20:40])


def test_a_picture_that_does_not_hold_the_crop_is_the_caller_s_error(read: Read) -> None:
    transforms = read(ResizeImage={"resize_short": 32}, CropImage={"size": [48, 32]})
    assert transforms.tensor(waves(40, 80)).shape == (3, 32, 48)
    with pytest.raises(ImageTooSmall, match=r"32 x 64 .* needs 48 x 32"):
        transforms.tensor(waves(80, 40))


def test_backend_and_interpolation_are_honoured(read: Read) -> None:
    picture = waves(90, 120)
    resize = {"size": [30, 24]}
    tensors = [
        read(ResizeImage={**resize, **method}).tensor(picture)
        for method in (
            {},
            {"interpolation": "AREA"},
            {"backend": "pil", "interpolation": "bicubic"},
            {"backend": "cv2", "interpolation": "bicubic"},
        )
    ]
    linear = np.asarray(cv2.resize(picture, (30, 24))[:, :, ::-1], dtype=np.uint8)
    np.testing.assert_array_equal(tensors[0], NORMALIZATION.apply(linear).transpose(2, 0, 1))
    assert len({tensor.tobytes() for tensor in tensors}) == len(tensors)


@given(height=st.integers(3, 300), width=st.integers(3, 300), short=st.integers(8, 64))
def test_the_short_side_is_what_was_asked_for(height: int, width: int, short: int) -> None:
    transforms = PictureTransforms(
        size=None, short=short, interpolation=LINEAR, crop=(short, short), normalization=NORMALIZATION
    )
    assert transforms.tensor(np.zeros((height, width, 3), dtype=np.uint8)).shape == (3, short, short)
    assert transforms.warmup_shape == (3, short, short)


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        ({"ResizeImage": "missing"}, "no ResizeImage"),
        ({"ToCHWImage": "missing", "NormalizeImage": "missing"}, "no NormalizeImage, ToCHWImage"),
        ({"RandFlipImage": {"flip_code": 1}}, "unknown steps RandFlipImage"),
        ({"ResizeImage": None}, "None is no number of pixels"),
        ({"ResizeImage": {"size": [30, 20, 3]}}, "no number of pixels"),
        ({"ResizeImage": {"size": [30, 0]}}, "0 is no number of pixels"),
        ({"ResizeImage": {"resize_short": "256"}}, "'256' is no number of pixels"),
        ({"ResizeImage": {"size": 30, "backend": "pil"}}, "LINEAR is not one of pil's"),
        ({"CropImage": {"size": -4}}, "-4 is no number of pixels"),
        ({"NormalizeImage": {"mean": [0.5], "std": [1, 1, 1]}}, "mean has to be three numbers"),
        ({"NormalizeImage": {"mean": [0, 0, 0], "std": [1, 0, 1]}}, "std has to be three numbers"),
        ({"NormalizeImage": [1, 2]}, "no mapping"),
    ],
)
def test_a_config_that_cannot_be_used_is_explained(read: Read, steps: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ModelUnavailable, match=complaint):
        read(**steps)


def test_a_family_without_crops_refuses_one(read: Read) -> None:
    with pytest.raises(ModelUnavailable, match="unknown steps CropImage"):
        read(crops=False, CropImage={"size": 8})
