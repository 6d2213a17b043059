"""The header of a WebP (RFC 9649)."""

import struct

from paddlewheel.errors import ImageAnimated
from workers.images.exif import read_orientation
from workers.images.header import MAX_PARTS, ImageHeader, damage_error, truncation_error

CHUNK = struct.Struct("<4sI")
ANIMATION = 0x02
ALPHA = 0x10
LOSSLESS_ALPHA = 1 << 28
FOURTEEN_BITS = 0x3FFF


def read_webp(data: bytes) -> ImageHeader:
    """Walk all chunks. Raises ImageCorrupt, ImageAnimated."""
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise truncation_error("WebP")
    sizes: list[tuple[int, int]] = []
    orientation, alpha = 1, False
    position = 12
    for _ in range(MAX_PARTS):
        if position + 8 > end:
            break
        kind, length = CHUNK.unpack_from(data, position)
        start = position + 8
        if start + length > end:
            raise truncation_error("WebP")
        position = start + length + length % 2
        if kind in _SIZES:
            sizes.append(_SIZES[kind](data[start : start + 10]))
            alpha = alpha or _has_alpha(kind, data[start : start + 10])
        elif kind == b"EXIF":
            orientation = read_orientation(data[start : start + length])
    # Where the canvas and the picture on it disagree, one of them would escape the caps.
    if not sizes or len(set(sizes)) != 1:
        raise damage_error("WebP", "its header and its picture disagree")
    width, height = sizes[0]
    return ImageHeader(format="webp", width=width, height=height, orientation=orientation, alpha=alpha)


def _has_alpha(kind: bytes, payload: bytes) -> bool:
    if kind == b"VP8X":
        return bool(payload[0] & ALPHA)
    return kind == b"VP8L" and bool(int.from_bytes(payload[1:5], "little") & LOSSLESS_ALPHA)


def _lossy_size(payload: bytes) -> tuple[int, int]:
    if len(payload) < 10 or payload[3:6] != b"\x9d\x01\x2a":
        raise damage_error("WebP", "its picture has no header")
    width, height = struct.unpack_from("<HH", payload, 6)
    return width & FOURTEEN_BITS, height & FOURTEEN_BITS


def _lossless_size(payload: bytes) -> tuple[int, int]:
    if len(payload) < 5 or payload[0] != 0x2F:
        raise damage_error("WebP", "its picture has no header")
    bits = int.from_bytes(payload[1:5], "little")
    return (bits & FOURTEEN_BITS) + 1, (bits >> 14 & FOURTEEN_BITS) + 1


def _canvas_size(payload: bytes) -> tuple[int, int]:
    if len(payload) < 10:
        raise damage_error("WebP", "its header is too short")
    if payload[0] & ANIMATION:
        raise ImageAnimated("The WebP image is animated: send one of its frames.")
    return int.from_bytes(payload[4:7], "little") + 1, int.from_bytes(payload[7:10], "little") + 1


_SIZES = {b"VP8 ": _lossy_size, b"VP8L": _lossless_size, b"VP8X": _canvas_size}
