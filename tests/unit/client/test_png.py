import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddlewheel.sources.png import encode_png
from tests.data.png_pixels import png_pixels


@st.composite
def pictures(draw: st.DrawFn) -> tuple[int, int, int, bytes]:
    width, height = draw(st.integers(1, 40)), draw(st.integers(1, 12))
    channels = draw(st.sampled_from([1, 3, 4]))
    size = width * height * channels
    return width, height, channels, draw(st.binary(min_size=size, max_size=size))


def red_first(pixels: bytes, channels: int) -> bytes:
    step = range(0, len(pixels), channels)
    each = [pixels[at : at + channels] for at in step]
    return b"".join(p if channels == 1 else p[2::-1] + p[3:] for p in each)


@given(pictures())
def test_every_pixel_comes_back_with_red_first(picture: tuple[int, int, int, bytes]) -> None:
    width, height, channels, pixels = picture
    encoded = encode_png(pixels, width=width, height=height, channels=channels)
    assert png_pixels(encoded) == (width, height, channels, red_first(pixels, channels))


def test_a_picture_of_several_strips_comes_back() -> None:
    width, height = 700, 101
    pixels = bytes((7 * at + at // 997) % 256 for at in range(width * height * 3))
    encoded = encode_png(pixels, width=width, height=height, channels=3)
    assert png_pixels(encoded) == (width, height, 3, red_first(pixels, 3))


def test_a_row_longer_than_a_strip_comes_back() -> None:
    pixels = bytes(at % 251 for at in range(70_000 * 2))
    encoded = encode_png(pixels, width=70_000, height=2, channels=1)
    assert png_pixels(encoded) == (70_000, 2, 1, pixels)


def test_pixels_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="5 bytes are not 2 x 2 pixels"):
        encode_png(bytes(5), width=2, height=2, channels=1)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_opencv_reads_the_same_pixels(channels: int) -> None:
    cv2, np = pytest.importorskip("cv2"), pytest.importorskip("numpy")
    pixels = np.random.default_rng(channels).integers(0, 256, (33, 47, channels), dtype=np.uint8)
    encoded = encode_png(pixels.tobytes(), width=47, height=33, channels=channels)
    decoded = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    assert (decoded.reshape(pixels.shape) == pixels).all()
