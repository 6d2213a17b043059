import cv2
import numpy as np
import pytest
from PIL import Image

from paddlewheel.errors import ImageTooNarrow
from tests.sample_pictures import waves
from workers.models.families.interpolation import LINEAR, Interpolation


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("NEAREST", cv2.INTER_NEAREST),
        ("linear", cv2.INTER_LINEAR),
        ("Bicubic", cv2.INTER_CUBIC),
        ("AREA", cv2.INTER_AREA),
        ("LANCZOS4", cv2.INTER_LANCZOS4),
    ],
)
def test_opencv_s_methods_go_by_paddlex_s_names(name: str, code: int) -> None:
    picture = waves(40, 50)
    scaled = Interpolation.of("cv2", name).scale(picture, 30, 20)
    np.testing.assert_array_equal(scaled, cv2.resize(picture, (30, 20), interpolation=code))


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("nearest", Image.Resampling.NEAREST),
        ("BILINEAR", Image.Resampling.BILINEAR),
        ("BICUBIC", Image.Resampling.BICUBIC),
        ("BOX", Image.Resampling.BOX),
        ("LANCZOS4", Image.Resampling.LANCZOS),
    ],
)
def test_pillow_s_methods_go_by_paddlex_s_names(name: str, method: Image.Resampling) -> None:
    picture = waves(40, 50)
    scaled = Interpolation.of("PIL", name).scale(picture, 30, 20)
    np.testing.assert_array_equal(scaled, np.asarray(Image.fromarray(picture).resize((30, 20), method)))
    assert not np.array_equal(scaled, LINEAR.scale(picture, 30, 20)) or name == "nearest"


@pytest.mark.parametrize(
    ("backend", "name", "complaint"),
    [
        ("cv2", "BILINEAR", "NEAREST, LINEAR"),
        ("pil", "LINEAR", "NEAREST, BILINEAR"),
        ("torch", "LINEAR", "neither cv2 nor pil"),
    ],
)
def test_a_method_that_a_library_lacks_is_refused(backend: str, name: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Interpolation.of(backend, name)


def test_a_picture_of_the_right_size_stays_as_it_is() -> None:
    picture = waves(40, 50)
    assert LINEAR.scale(picture, 50, 40) is picture


def test_a_side_without_pixels_is_the_caller_s_error() -> None:
    with pytest.raises(ImageTooNarrow, match="900 x 3"):
        LINEAR.scale(waves(3, 900), 100, 0)
