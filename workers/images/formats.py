"""Which format some bytes are in, by their first bytes and never by a name."""

import re
from collections.abc import Callable

from paddlewheel.errors import ImageEmpty, ImageUnsupported
from workers.images.bmp import is_bmp, read_bmp
from workers.images.header import ImageHeader
from workers.images.jpeg import read_jpeg
from workers.images.png import SIGNATURE, read_png
from workers.images.webp import read_webp

PDF = b"%PDF-"
PDF_WITHIN = 1024
"""Readers accept a PDF whose first line comes a little late."""

LOOKS: tuple[tuple[str, re.Pattern[bytes]], ...] = tuple(
    (name, re.compile(pattern, re.DOTALL))
    for name, pattern in (
        ("a GIF", rb"GIF8"),
        ("a TIFF", rb"II[*+]\0|MM\0[*+]"),
        ("a HEIC photograph", rb"....ftyp(?:hei|hev|mif1|msf1)"),
        ("an AVIF image", rb"....ftypavi"),
        ("a video", rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI "),
        ("a JPEG 2000 image", rb"\0\0\0\x0cjP  |\xffO\xffQ"),
        ("a JPEG XL image", rb"\xff\n|\0\0\0\x0cJXL "),
        ("a Photoshop file", rb"8BPS"),
        ("an icon", rb"\0\0[\x01\x02]\0"),
        ("a ZIP or an office file", rb"PK\x03\x04|\xd0\xcf\x11\xe0"),
        ("a gzip file", rb"\x1f\x8b"),
        ("a PNM image", rb"P[1-7]\s"),
        ("a data URL: send the bytes that it encodes", rb"data:image/"),
        ("an SVG drawing", rb"\s*(?:<\?xml.{0,512})?<svg"),
        ("a web page", rb"(?i)\s*(?:<!doctype html|<html)"),
        ("base64: send the bytes that it encodes", rb"(?:iVBORw0KGgo|/9j/|UklGR|Qk[0-9A-Za-z+/]{6})"),
    )
)


def looks_like(data: bytes) -> str:
    """What unsupported bytes probably are, for a message to a person."""
    start = data[:1024]
    for name, pattern in LOOKS:
        if pattern.match(start):
            return name
    if is_pdf(data):
        return "a PDF"
    return "text" if _is_text(start) else "no image at all"


def _is_text(start: bytes) -> bool:
    """UTF-8 without control characters; the last character may have been cut through."""
    text = start.decode("utf-8", "replace").rstrip("\ufffd")
    return bool(text) and all(each.isprintable() or each.isspace() for each in text) and "\ufffd" not in text


def is_pdf(data: bytes) -> bool:
    """Whether the bytes begin like a PDF, and not like an image that mentions one in a comment."""
    return data.startswith(PDF) or (_reader_for(data) is None and data.find(PDF, 0, PDF_WITHIN) >= 0)


def read_header(data: bytes) -> ImageHeader:
    """The header of a JPEG, PNG, WebP or BMP image.

    Raises ImageEmpty, ImageUnsupported, ImageCorrupt, ImageAnimated.
    """
    if not data:
        raise ImageEmpty
    reader = _reader_for(data)
    if reader is None:
        raise ImageUnsupported(
            f"The bytes are not a JPEG, PNG, WebP or BMP image but look like {looks_like(data)}."
        )
    return reader(data)


def _reader_for(data: bytes) -> Callable[[bytes], ImageHeader] | None:
    if data.startswith(SIGNATURE):
        return read_png
    if data.startswith(b"\xff\xd8\xff"):
        return read_jpeg
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return read_webp
    return read_bmp if is_bmp(data) else None
