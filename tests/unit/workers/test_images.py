"""Decoding: the guards in front of it, and pixels equal to those of cv2.imread."""

import io
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from paddlewheel.errors import (
    ImageAnimated,
    ImageCorrupt,
    ImageEmpty,
    ImageError,
    ImageTooLarge,
    ImageTooNarrow,
    ImageTooSmall,
    ImageUnsupported,
    WorkerOverloaded,
)
from tests.data.pictures import Pixels, encoded, picture, png_of_zeros, saved
from workers.images.loading import LINE_LIMITS, PAGE_LIMITS, ImageLimits, decode

PHOTOGRAPHS = sorted((Path(__file__).parents[4] / "shared" / "data").rglob("*.jp*g"))

ORDINARY: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: encoded("JPEG"),
    "progressive jpeg": lambda: encoded("JPEG", progressive=True),
    "jpeg with restart markers": lambda: encoded("JPEG", restart_marker_rows=1),
    "grey jpeg": lambda: encoded("JPEG", "L"),
    "cmyk jpeg": lambda: encoded("JPEG", "CMYK"),
    "jpeg with a long profile": lambda: encoded("JPEG", icc_profile=bytes(range(256)) * 600),
    "png": lambda: encoded("PNG"),
    "grey png": lambda: encoded("PNG", "L"),
    "black and white png": lambda: encoded("PNG", "1"),
    "palette png": lambda: encoded("PNG", "P"),
    "palette png with transparency": lambda: encoded("PNG", "P", transparency=3),
    "grey png with alpha": lambda: encoded("PNG", "LA"),
    "png with alpha": lambda: saved(translucent(), "PNG"),
    "png of 16 bits": lambda: sixteen_bits(picture()),
    "grey png of 16 bits": lambda: sixteen_bits(picture()[:, :, 0]),
    "webp": lambda: encoded("WEBP"),
    "lossless webp": lambda: encoded("WEBP", lossless=True),
    "webp with alpha": lambda: saved(translucent(), "WEBP", lossless=True),
    "webp with a profile": lambda: encoded("WEBP", icc_profile=bytes(300)),
    "bmp": lambda: encoded("BMP"),
    "black and white bmp": lambda: encoded("BMP", "1"),
    "palette bmp": lambda: encoded("BMP", "P"),
    "bmp with alpha": lambda: encoded("BMP", "RGBA"),
}


TRANSLUCENT = {"png with alpha", "webp with alpha"}
"""imread drops their alpha; see the tests of transparent pictures."""


def translucent() -> Image.Image:
    image = Image.fromarray(picture()).convert("RGBA")
    image.putalpha(Image.fromarray(picture(seed=1)[:, :, 0]))
    return image


def sixteen_bits(image: Pixels) -> bytes:
    return cv2.imencode(".png", image.astype(np.uint16) * 257 + 100)[1].tobytes()


@pytest.mark.parametrize("name", [name for name in ORDINARY if name not in TRANSLUCENT])
def test_pixels_are_those_of_imread(name: str, tmp_path: Path) -> None:
    data = ORDINARY[name]()
    (tmp_path / "image").write_bytes(data)
    image = decode(data, PAGE_LIMITS)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert np.array_equal(image, np.asarray(cv2.imread(str(tmp_path / "image"), cv2.IMREAD_COLOR)))


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in ORDINARY
        if not any(each in name for each in ("16", "jpeg")) and name not in TRANSLUCENT
    ],
)
def test_pixels_are_those_of_pillow_where_formats_leave_no_choice(name: str) -> None:
    data = ORDINARY[name]()
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))[:, :, ::-1]
    difference = np.abs(decode(data, PAGE_LIMITS).astype(int) - expected)
    assert difference.max() <= (0 if name != "webp" else 4)


@pytest.mark.skipif(not PHOTOGRAPHS, reason="the photographs are not here")
@pytest.mark.parametrize("path", PHOTOGRAPHS, ids=lambda path: path.name)
def test_photographs_decode_as_with_imread(path: Path) -> None:
    expected = np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR))
    assert np.array_equal(decode(path.read_bytes(), PAGE_LIMITS), expected)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_exactly_once(format: str, orientation: int) -> None:  # noqa: A002
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"lossless": True} if format == "WEBP" else {}
    data = encoded(format, exif=exif, **options)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    image = decode(data, PAGE_LIMITS)
    assert image.flags.c_contiguous
    assert image.shape == (upright.height, upright.width, 3)
    assert np.abs(image.astype(int) - np.asarray(upright)[:, :, ::-1]).max() <= (4 if format == "JPEG" else 0)


def test_no_bytes_are_an_empty_image() -> None:
    with pytest.raises(ImageEmpty):
        decode(b"", PAGE_LIMITS)


def small(**limits: int) -> ImageLimits:
    return ImageLimits(**limits)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "limits", "error", "says"),
    [
        (encoded("PNG"), small(max_bytes=100), ImageTooLarge, "100 are allowed"),
        (encoded("PNG"), small(max_pixels=90 * 60 - 1), ImageTooLarge, "90 x 60"),
        (encoded("JPEG"), small(max_side=89), ImageTooLarge, "89 on a side"),
        (png_of_zeros(1, 1), PAGE_LIMITS, ImageTooSmall, "1 x 1"),
        (png_of_zeros(2, 100), PAGE_LIMITS, ImageTooSmall, "2 x 100"),
        (png_of_zeros(303, 3), PAGE_LIMITS, ImageTooNarrow, "101 times"),
        (png_of_zeros(3, 303), PAGE_LIMITS, ImageTooNarrow, "cut it into parts"),
        (png_of_zeros(40 * 48, 48), LINE_LIMITS, ImageTooNarrow, "shorter lines, or send it to ocr.read"),
        (encoded("GIF", "P"), PAGE_LIMITS, ImageUnsupported, "a GIF"),
    ],
)
def test_a_guard_refuses_before_a_pixel_is_decoded(
    data: bytes,
    limits: ImageLimits,
    error: type[ImageError],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(error, match=says):
        decode(data, limits)


@pytest.mark.parametrize(
    ("data", "limits"),
    [
        (encoded("PNG"), small(max_pixels=90 * 60, max_side=90, min_side=60)),
        (png_of_zeros(32 * 48, 48), LINE_LIMITS),
        (png_of_zeros(300, 3), PAGE_LIMITS),
    ],
)
def test_an_image_exactly_at_a_limit_is_decoded(data: bytes, limits: ImageLimits) -> None:
    assert decode(data, limits).ndim == 3


def test_a_page_may_be_narrower_than_a_line() -> None:
    data = png_of_zeros(40 * 48, 48)
    assert decode(data, PAGE_LIMITS).shape == (48, 40 * 48, 3)


@pytest.mark.parametrize(
    "data",
    [
        saved(
            Image.fromarray(picture()), "PNG", save_all=True, append_images=[Image.fromarray(picture(seed=1))]
        ),
        saved(
            Image.fromarray(picture()),
            "WEBP",
            save_all=True,
            append_images=[Image.fromarray(picture(seed=1))],
        ),
    ],
    ids=["png", "webp"],
)
def test_more_than_one_picture_is_refused(data: bytes) -> None:
    with pytest.raises(ImageAnimated):
        decode(data, PAGE_LIMITS)


def test_the_first_picture_of_a_camera_s_file_is_the_photograph() -> None:
    several = saved(
        Image.fromarray(picture()), "MPO", save_all=True, append_images=[Image.fromarray(picture(seed=1))]
    )
    assert np.array_equal(
        decode(several, PAGE_LIMITS), decode(saved(Image.fromarray(picture()), "JPEG"), PAGE_LIMITS)
    )


def on_background(image: Image.Image, background: str) -> Pixels:
    flat = Image.new("RGBA", image.size, background)
    return np.asarray(Image.alpha_composite(flat, image).convert("RGB"))[:, :, ::-1]


def lettering(ink: tuple[int, int, int], *, clear: tuple[int, int, int] = (0, 0, 0)) -> Image.Image:
    """Strokes of a colour on clear, some of them half transparent, and one that alpha hides."""
    pixels = np.zeros((60, 90, 4), np.uint8)
    pixels[:, :, :3] = clear
    pixels[10:20, 5:80] = (*ink, 255)
    pixels[20:22, 5:80] = (*ink, 90)
    pixels[40:50, 5:80] = (200, 30, 30, 0)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
@pytest.mark.parametrize(
    ("ink", "background"), [((0, 0, 0), "white"), ((200, 40, 10), "white"), ((255, 255, 240), "black")]
)
def test_transparent_pictures_are_seen_as_viewers_show_them(
    format: str,  # noqa: A002
    ink: tuple[int, int, int],
    background: str,
) -> None:
    image = lettering(ink)
    options: dict[str, Any] = {"lossless": True, "exact": True} if format == "WEBP" else {}
    seen = decode(saved(image, format, **options), PAGE_LIMITS)
    expected = on_background(image, background)
    assert np.abs(seen.astype(int) - expected).max() <= 1
    assert (seen[42:48, 10:70] == (255 if background == "white" else 0)).all()


@pytest.mark.parametrize("mode", ["LA", "P"])
def test_grey_and_palette_pictures_are_put_on_a_background_too(mode: str) -> None:
    if mode == "LA":
        image = lettering((0, 0, 0)).convert("LA")
        data = saved(image, "PNG")
    else:
        image = Image.new("P", (90, 60), 0)
        image.putpalette([0, 0, 0, 0, 0, 0, 250, 250, 250])
        image.paste(1, (5, 10, 80, 20))
        data = saved(image, "PNG", transparency=0)
    seen = decode(data, PAGE_LIMITS)
    assert seen[0, 0].tolist() == [255, 255, 255]
    assert seen[15, 40].tolist() == [0, 0, 0]


def test_an_opaque_alpha_channel_changes_nothing() -> None:
    opaque = Image.fromarray(picture()).convert("RGBA")
    assert np.array_equal(decode(saved(opaque, "PNG"), PAGE_LIMITS), picture()[:, :, ::-1])


def test_a_photograph_with_a_gain_map_is_one_picture() -> None:
    xmp = b'http://ns.adobe.com/xap/1.0/\0<rdf:Description hdrgm:Version="1.0"/>'
    data = saved(
        Image.fromarray(picture()),
        "MPO",
        save_all=True,
        append_images=[Image.fromarray(picture(45, 30))],
        xmp=xmp,
    )
    assert b"MPF\0" in data
    assert decode(data, PAGE_LIMITS).shape == (60, 90, 3)


def test_bytes_after_the_end_of_an_image_do_not_matter() -> None:
    for format in ("JPEG", "PNG", "WEBP", "BMP"):  # noqa: A001
        data = encoded(format)
        assert np.array_equal(decode(data + b"trailer", PAGE_LIMITS), decode(data, PAGE_LIMITS))


def test_a_thumbnails_end_is_not_the_images_end() -> None:
    whole = encoded("JPEG", exif=Image.Exif().tobytes() + encoded("JPEG"))
    assert whole.count(b"\xff\xd9") == 2
    assert decode(whole, PAGE_LIMITS).shape == (60, 90, 3)
    assert np.array_equal(decode(whole[:-2], PAGE_LIMITS), decode(whole, PAGE_LIMITS))
    with pytest.raises(ImageCorrupt, match="cut off"):
        decode(whole[:-40], PAGE_LIMITS)


def test_a_decoder_without_memory_is_the_operators_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> None:
        err = cv2.error("Insufficient memory")
        err.code = cv2.Error.StsNoMem
        raise err

    monkeypatch.setattr(cv2, "imdecode", no_memory)
    with pytest.raises(WorkerOverloaded):
        decode(encoded("PNG"), PAGE_LIMITS)


def test_a_png_that_decodes_to_gigabytes_costs_no_memory() -> None:
    script = """
        import resource, sys
        from paddlewheel.errors import ImageTooLarge
        from workers.images.loading import PAGE_LIMITS, decode

        data = sys.stdin.buffer.read()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            decode(data, PAGE_LIMITS)
        except ImageTooLarge:
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    bomb = png_of_zeros(30_000, 30_000)
    assert len(bomb) < 200_000
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        input=bomb,
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 50_000_000
