"""The header of a PNG (PNG specification, third edition)."""

import struct
from collections.abc import Iterator
from zlib import crc32

from paddlewheel.errors import ImageAnimated
from workers.images.exif import read_orientation
from workers.images.header import MAX_PARTS, ImageHeader, damage_error, truncation_error

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHUNK = struct.Struct(">I4s")
SIZE = struct.Struct(">II")
CHECKSUM = struct.Struct(">I")
WITH_ALPHA = frozenset({4, 6})
"""The colour types of grey and of colour with an alpha channel."""
ANCILLARY = 0x20
"""The bit in a chunk's first letter that lets a decoder skip it, as decoders do when it is damaged."""


def read_png(data: bytes) -> ImageHeader:
    """Check every chunk that matters. Raises ImageCorrupt, ImageAnimated."""
    chunks = _chunks(data)
    kind, start, end = next(chunks, (b"", 0, 0))
    if kind != b"IHDR" or end - start != 13:
        raise damage_error("PNG", "it does not begin with its header")
    width, height = SIZE.unpack_from(data, start)
    alpha = data[start + 9] in WITH_ALPHA
    orientation = 1
    for kind, start, end in chunks:
        if kind == b"acTL" and data[start : start + 4] != b"\0\0\0\1":
            raise ImageAnimated("The PNG image is animated: send one of its frames.")
        alpha = alpha or kind == b"tRNS"
        if kind == b"eXIf":
            orientation = read_orientation(data[start:end])
    return ImageHeader(format="png", width=width, height=height, orientation=orientation, alpha=alpha)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The kind and the extent of each chunk that is whole, up to the one that ends the image."""
    view = memoryview(data)
    end = len(SIGNATURE) - 4
    for _ in range(MAX_PARTS):
        start = end + 12
        if start > len(data):
            raise truncation_error("PNG")
        length, kind = CHUNK.unpack_from(data, start - 8)
        end = start + length
        if end + 4 > len(data):
            raise truncation_error("PNG")
        if crc32(view[start - 4 : end]) == CHECKSUM.unpack_from(data, end)[0]:
            if kind == b"IEND":
                return
            yield kind, start, end
        elif not kind[0] & ANCILLARY:
            raise damage_error("PNG", "a checksum is wrong")
    raise damage_error("PNG", "it has too many chunks")
