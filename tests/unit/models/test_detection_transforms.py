from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from paddlewheel.errors import ImageTooLarge, ImageTooNarrow, ModelUnavailable
from tests.sample_pictures import waves
from tests.unit.models.conftest import OBJECTS, MakeDirectory
from workers.models.families.detection_transforms import DetectionTransforms
from workers.models.home.directory import ModelDirectory

PERMUTE = {"type": "Permute"}
NORMALIZE = {"type": "NormalizeImage", "mean": [10, 20, 30], "std": [2, 4, 8], "is_scale": False}
Read = Callable[..., DetectionTransforms]


@pytest.fixture
def read(make_directory: MakeDirectory) -> Read:
    def transforms(*steps: Any, name: str = "PicoDet-S") -> DetectionTransforms:
        config = {**OBJECTS, "Global": {"model_name": name}, "Preprocess": list(steps)}
        return DetectionTransforms.of(ModelDirectory.open(make_directory(config, "inference.onnx")))

    return transforms


def resize(height: int, width: int, **settings: Any) -> dict[str, Any]:
    return {"type": "Resize", "target_size": [height, width], **settings}


def test_without_a_resize_the_picture_keeps_its_size_and_scale(read: Read) -> None:
    picture = waves(37, 53)
    image, scale = read(PERMUTE).tensors(picture)
    np.testing.assert_array_equal(image, picture[:, :, ::-1].transpose(2, 0, 1))
    assert image.dtype == scale.dtype == np.float32
    assert scale.tolist() == [1, 1]


@pytest.mark.parametrize("name", ["BlazeFace", "BlazeFace-FPN-SSH", "RT-DETR-L", "FasterRCNN-ResNet50"])
def test_some_networks_take_the_size_before_the_image(read: Read, name: str) -> None:
    size, image, scale = read(
        resize(20, 40), PERMUTE, {"type": "PadStride", "stride": 32}, name=name
    ).tensors(waves(10, 10))
    assert (size.tolist(), image.shape, scale.tolist()) == ([20, 40], (3, 32, 64), [2, 4])


def test_the_resize_is_cubic_by_default(read: Read) -> None:
    picture = waves(80, 60)
    (cubic, _), (area, _) = (
        read(step, PERMUTE).tensors(picture) for step in (resize(20, 30), resize(20, 30, interp=3))
    )
    for tensor, code in ((cubic, cv2.INTER_CUBIC), (area, cv2.INTER_AREA)):
        expected = cv2.resize(picture, (30, 20), interpolation=code)[:, :, ::-1].transpose(2, 0, 1)
        np.testing.assert_array_equal(tensor, expected)
    named, _ = read(resize(20, 30, interp="area"), PERMUTE).tensors(picture)
    np.testing.assert_array_equal(named, area)


@pytest.mark.parametrize(
    ("shape", "scaled"),
    [((100, 200), (48, 96)), ((200, 100), (96, 48)), ((10, 10), (64, 64)), ((90, 100), (64, 71))],
)
def test_a_kept_ratio_fits_the_target_long_side_to_long_side(
    read: Read, shape: tuple[int, int], scaled: tuple[int, int]
) -> None:
    image, scale = read(resize(64, 96, keep_ratio=True), PERMUTE).tensors(waves(*shape))
    assert image.shape == (3, *scaled)
    np.testing.assert_allclose(scale, np.divide(scaled, shape), rtol=1e-6)


def test_a_strip_that_would_lose_a_side_is_the_caller_s_error(read: Read) -> None:
    with pytest.raises(ImageTooNarrow):
        read(resize(32, 32, keep_ratio=True), PERMUTE).tensors(waves(3, 300))


def test_normalization_is_the_same_before_and_after_padding(read: Read) -> None:
    picture = waves(20, 20)
    pad = {"type": "Pad", "size": [32, 32], "fill_value": [114.0, 113.5, 0.0]}
    before, _ = read(NORMALIZE, PERMUTE).tensors(picture)
    after, _ = read(pad, NORMALIZE, PERMUTE).tensors(picture)
    np.testing.assert_array_equal(after[:, :20, :20], before)
    fill = (np.array([114.0, 113.5, 0.0]) - [10, 20, 30]) / [2, 4, 8]
    np.testing.assert_allclose(after[:, 31, 5], fill, rtol=1e-6)
    np.testing.assert_allclose(after[:, 5, 31], fill, rtol=1e-6)


def test_pixels_are_scaled_to_one_by_default(read: Read) -> None:
    white = np.full((4, 4, 3), 255, dtype=np.uint8)
    step = {"type": "NormalizeImage", "mean": [0, 0, 0], "std": [1, 1, 1]}
    assert read(step, PERMUTE).tensors(white)[0].max() == pytest.approx(1)
    assert read({**step, "is_scale": False, "norm_type": "none"}, PERMUTE).tensors(white)[0].max() == 255


def test_a_picture_larger_than_its_pad_is_the_caller_s_error(read: Read) -> None:
    with pytest.raises(ImageTooLarge, match="takes 16 x 16"):
        read({"type": "Pad", "size": 16}, PERMUTE).tensors(waves(17, 16))


def test_a_stride_pads_with_zeros_and_only_what_is_missing(read: Read) -> None:
    picture = waves(32, 33)
    image, _ = read(NORMALIZE, PERMUTE, {"type": "PadStride", "stride": 32}).tensors(picture)
    plain, _ = read(NORMALIZE, PERMUTE, {"type": "PadStride", "stride": 0}).tensors(picture)
    assert image.shape == (3, 32, 64)
    np.testing.assert_array_equal(image[:, :, :33], plain)
    assert not image[:, :, 33:].any()


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        ([{"type": "WarpAffine", "input_h": 512}, PERMUTE], "WarpAffine is not served"),
        ([NORMALIZE], "one Permute"),
        ([PERMUTE, PERMUTE], "one Permute"),
        ([PERMUTE, NORMALIZE], "NormalizeImage stands where"),
        ([{"type": "PadStride"}, PERMUTE], "PadStride stands where"),
        ([NORMALIZE, resize(4, 4), PERMUTE], "Resize stands where"),
        ([resize(4, 4), resize(4, 4), PERMUTE], "Resize stands where"),
        ([{"type": "Resize", "target_size": 640}, PERMUTE], "640 is not .height, width."),
        ([resize(0, 640), PERMUTE], "0 is no number of pixels"),
        ([resize(4, 4, interp=9), PERMUTE], "interpolation 9"),
        ([{**NORMALIZE, "norm_type": "max"}, PERMUTE], "norm_type 'max'"),
        ([{**NORMALIZE, "std": [0, 1, 1]}, PERMUTE], "std has to be three numbers"),
        ([{"type": "Pad", "size": [3, 640, 640]}, PERMUTE], "no number of pixels"),
        ([{"type": "Pad", "size": 64, "fill_value": [1, 2]}, PERMUTE], "Preprocess cannot be understood"),
        ([PERMUTE, {"type": "PadStride", "stride": "x"}], "stride 'x'"),
        (["Permute"], "not a list of steps"),
    ],
)
def test_a_config_that_cannot_be_used_is_explained(read: Read, steps: list[Any], complaint: str) -> None:
    with pytest.raises(ModelUnavailable, match=complaint):
        read(*steps)
