"""Headers: agreement with Pillow, and files that are cut off, damaged, or no images at all."""

import gzip
import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from paddlewheel.errors import ImageCorrupt, ImageError, ImageUnsupported
from tests.data.pictures import chunk, encoded, picture, saved
from workers.images.exif import read_orientation
from workers.images.formats import read_header
from workers.images.header import ImageHeader
from workers.images.loading import PAGE_LIMITS, decode

SMALL = Image.fromarray(picture(24, 16))
FILES: dict[str, bytes] = {
    "jpeg": saved(SMALL, "JPEG"),
    "progressive jpeg": saved(SMALL, "JPEG", progressive=True),
    "png": saved(SMALL, "PNG"),
    "palette png": saved(SMALL.convert("P"), "PNG"),
    "webp": saved(SMALL, "WEBP"),
    "lossless webp": saved(SMALL, "WEBP", lossless=True),
    "extended webp": saved(SMALL, "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"),
    "bmp": saved(SMALL, "BMP"),
    "palette bmp": saved(SMALL.convert("P"), "BMP"),
}
each_file = pytest.mark.parametrize("name", FILES)


def error_of(data: bytes) -> type[ImageError] | None:
    try:
        decode(data, PAGE_LIMITS)
    except ImageError as err:
        return type(err)
    return None


@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    format=st.sampled_from(["JPEG", "PNG", "WEBP", "BMP"]),
    orientation=st.integers(0, 9),
)
def test_the_header_is_what_pillow_reads(width: int, height: int, format: str, orientation: int) -> None:  # noqa: A002
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {} if format == "BMP" else {"exif": exif}
    header = read_header(saved(Image.new("RGB", (width, height)), format, **options))
    upright = orientation if 1 <= orientation <= 8 and format != "BMP" else 1
    expected = ImageHeader(format=format.lower(), width=width, height=height, orientation=upright)  # type: ignore[arg-type]
    assert header == expected


@each_file
def test_a_file_cut_off_anywhere_is_an_error_or_has_all_its_pixels(name: str) -> None:
    data = FILES[name]
    whole = decode(data, PAGE_LIMITS)
    errors = [error_of(data[:length]) for length in range(len(data))]
    complete = [length for length, error in enumerate(errors) if error is None]
    for length in complete:  # the last byte of a refining scan may be padding but for a bit
        difference = np.abs(decode(data[:length], PAGE_LIMITS).astype(int) - whole)
        assert difference.max() <= (0 if len(data) - length <= 2 else 2)
    # Only a JPEG has an end that decoders do not need.
    assert complete == list(range(len(data) - len(complete), len(data)))
    assert 2 <= len(complete) <= 4 if "jpeg" in name else not complete
    assert set(errors[32 : len(data) - len(complete)]) == {ImageCorrupt}


@pytest.mark.parametrize("name", ["webp", "lossless webp"])
def test_a_webp_cut_off_with_its_size_made_to_fit_is_an_error(name: str) -> None:
    data = FILES[name]
    for length in range(40, len(data) - 8, 2):
        cut = data[:4] + struct.pack("<I", length - 8) + data[8:length]
        assert error_of(cut) is ImageCorrupt


@given(position=st.integers(0), bit=st.integers(0, 7), name=st.sampled_from(["png", "palette png"]))
@settings(deadline=None, max_examples=400)
def test_a_png_with_a_flipped_bit_is_an_error_or_the_same_picture(name: str, position: int, bit: int) -> None:
    data = bytearray(FILES[name])
    data[position % len(data)] ^= 1 << bit
    try:
        image = decode(bytes(data), PAGE_LIMITS)
    except ImageError:
        return
    assert np.array_equal(image, decode(FILES[name], PAGE_LIMITS))


def test_a_flipped_bit_in_a_pngs_pixels_is_an_error() -> None:
    data = bytearray(encoded("PNG"))
    data[len(data) // 2] ^= 4
    with pytest.raises(ImageCorrupt, match="checksum"):
        decode(bytes(data), PAGE_LIMITS)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(FILES[draw(st.sampled_from(sorted(FILES)))])
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.integers(0, 4))
        data[start : start + length] = draw(st.binary(max_size=6))
    return bytes(data)


def resealed(data: bytes) -> bytes:
    """A PNG with its checksums made right again, so that damage gets past the walk."""
    out, position = bytearray(data[:8]), 8
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        body = data[position + 4 : position + 8 + length]
        out += data[position : position + 4] + body + zlib.crc32(body).to_bytes(4, "big")
        position += 12 + length
    return bytes(out)


@given(st.one_of(mutated(), mutated().map(resealed), st.binary(max_size=300)))
@settings(deadline=None, max_examples=1_500)
@example(b"BM")
@example(b"\xff\xd8\xff")
@example(b"RIFF\0\0\0\0WEBP")
@example(b"\x89PNG\r\n\x1a\n" + b"\0\0\0\0IEND\xae\x42\x60\x82")
def test_whatever_the_bytes_only_typed_errors_and_images_come_out(data: bytes) -> None:
    try:
        image = decode(data, PAGE_LIMITS)
    except ImageError as err:
        assert err.message
    else:
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[2] == 3


@pytest.mark.parametrize(
    ("data", "looks_like"),
    [
        (encoded("GIF", "P"), "a GIF"),
        (encoded("TIFF"), "a TIFF"),
        (encoded("AVIF"), "an AVIF image"),
        (b"\0\0\0\x18ftypheic", "a HEIC photograph"),
        (b"\0\0\0\x18ftypisom", "a video"),
        (b"%PDF-1.7", "a PDF"),
        (b"<html><body>Not found</body></html>", "a web page"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        (b"data:image/png;base64,iVBORw0KGgo=", "a data URL"),
        (b"iVBORw0KGgoAAAANSUhEUg", "base64"),
        (b"PK\x03\x04", "a ZIP"),
        (gzip.compress(b"image"), "a gzip file"),
        (encoded("PPM"), "a PNM image"),
        (b"BMW is a carmaker, and this is no bitmap", "text"),
        ("Schöne Grüße,\nЖ\n".encode() * 100, "text"),
        (bytes(100), "no image at all"),
        (b"\xfe\xed" * 9, "no image at all"),
    ],
)
def test_bytes_that_are_no_image_are_named(data: bytes, looks_like: str) -> None:
    with pytest.raises(ImageUnsupported, match=f"look like {looks_like}"):
        read_header(data)


def jpeg_with(marker: int, segment: bytes, before: bytes = b"\xff\xda") -> bytes:
    data = FILES["progressive jpeg"]
    position = data.index(before)
    return (
        data[:position]
        + bytes([0xFF, marker])
        + struct.pack(">H", len(segment) + 2)
        + segment
        + data[position:]
    )


def test_a_jpeg_with_two_headers_is_an_error() -> None:
    with pytest.raises(ImageCorrupt, match="two headers"):
        read_header(jpeg_with(0xC2, struct.pack(">BHHB", 8, 9, 9, 1) + b"\1\x11\0"))


@pytest.mark.parametrize(("marker", "precision"), [(0xC3, 8), (0xC1, 12)])
def test_a_jpeg_that_no_decoder_here_reads_is_unsupported(marker: int, precision: int) -> None:
    frame = FILES["jpeg"].index(b"\xff\xc0")
    data = bytearray(FILES["jpeg"])
    data[frame + 1], data[frame + 4] = marker, precision
    with pytest.raises(ImageUnsupported, match="lossless or has more than 8 bits"):
        read_header(bytes(data))


def test_a_jpeg_of_very_many_scans_is_refused() -> None:
    data = FILES["progressive jpeg"]
    scan = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(ImageCorrupt, match="scans"):
        read_header(data[:-2] + scan * 70 + data[-2:])


@pytest.mark.parametrize(
    "data",
    [
        FILES["jpeg"][:2] + b"\xff\x01" * 100_000 + FILES["jpeg"][2:],
        FILES["png"][:33] + chunk(b"teXt") * 100_000 + FILES["png"][33:],
    ],
    ids=["jpeg", "png"],
)
def test_a_file_of_countless_parts_is_refused(data: bytes) -> None:
    with pytest.raises(ImageCorrupt):
        read_header(data)


def test_a_webp_whose_canvas_and_picture_disagree_is_an_error() -> None:
    data = bytearray(FILES["extended webp"])
    data[24:30] = b"\x7f\0\0\x7f\0\0"
    with pytest.raises(ImageCorrupt, match="disagree"):
        read_header(bytes(data))


def test_a_bmp_that_runs_from_top_to_bottom_has_its_height() -> None:
    data = bytearray(FILES["bmp"])
    data[22:26] = struct.pack("<i", -16)
    assert read_header(bytes(data)).height == 16
    assert np.array_equal(decode(bytes(data), PAGE_LIMITS), decode(FILES["bmp"], PAGE_LIMITS)[::-1])


@pytest.mark.parametrize(("field", "value", "error"), [(28, 7, ImageCorrupt), (30, 4, ImageUnsupported)])
def test_a_bmp_of_unknown_depth_or_compression_is_an_error(
    field: int, value: int, error: type[ImageError]
) -> None:
    data = bytearray(FILES["bmp"])
    data[field] = value
    with pytest.raises(error):
        read_header(bytes(data))


@given(st.binary(max_size=64), st.sampled_from([b"II*\0", b"MM\0*", b"Exif\0\0II*\0"]))
def test_any_exif_gives_an_orientation(rest: bytes, start: bytes) -> None:
    assert 1 <= read_orientation(start + rest) <= 8


def test_a_size_that_the_decoder_does_not_confirm_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: np.zeros((16, 25, 3), np.uint8))
    with pytest.raises(ImageCorrupt, match="cannot be decoded"):
        decode(FILES["png"], PAGE_LIMITS)


def test_a_run_length_bmp_cut_off_is_an_error() -> None:
    palette = bytes(range(256)) * 4
    rows = b"\x18\x05\0\0" * 16 + b"\0\1"
    head = struct.pack("<IiiHHIIiiII", 40, 24, 16, 1, 8, 1, len(rows), 0, 0, 256, 0)
    offset = 14 + len(head) + len(palette)
    data = b"BM" + struct.pack("<IHHI", offset + len(rows), 0, 0, offset) + head + palette + rows
    assert decode(data, PAGE_LIMITS).shape == (16, 24, 3)
    assert np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).shape == (16, 24, 3)
    assert error_of(data[: offset + 20]) is ImageCorrupt
