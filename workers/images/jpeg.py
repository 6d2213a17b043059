"""The header of a JPEG (ITU-T T.81; several images in one file: CIPA DC-007)."""

import re
import struct

from paddlewheel.errors import ImageAnimated, ImageUnsupported
from workers.images.exif import read_orientation
from workers.images.header import MAX_PARTS, ImageHeader, cut_off, damaged

MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]", re.DOTALL)
"""Neither a stuffed byte nor a restart nor a fill byte, so it also finds the end of coded pixels."""
STANDALONE = frozenset({0x01, 0xD8})
EOI, SOS, APP1, APP2 = 0xD9, 0xDA, 0xE1, 0xE2
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
DECODED_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
MAX_SCANS = 64
"""Each scan of a progressive file visits every pixel; encoders write about ten."""
GAIN_MAPS = (b"hdrgm:", b"hdrgainmap", b"HDRGainMap", b"urn:iso:std:iso:ts:21496")
"""Phones store how to brighten a photograph as a second image; such a file still has one picture."""


def read_jpeg(data: bytes) -> ImageHeader:
    """Walk all segments up to the end of the image. Raises ImageCorrupt, ImageAnimated, ImageUnsupported."""
    size: tuple[int, int] | None = None
    orientation: int | None = None
    position = 2
    scans = 0
    for _ in range(MAX_PARTS):
        found = MARKER.search(data, position)
        if found is None:
            raise cut_off("JPEG")
        marker, start = data[found.end() - 1], found.end()
        if marker == EOI:
            break
        position = start if marker in STANDALONE else _segment_end(data, start)
        if marker == SOS:
            scans += 1
        elif marker in FRAMES:
            if size is not None:
                raise damaged("JPEG", "it has two headers")
            size = _frame_size(data[start:position], marker)
        elif marker == APP1 and orientation is None and data.startswith(b"Exif\0\0", start + 2):
            orientation = read_orientation(data[start + 2 : position])
        elif marker == APP2 and data.startswith(b"MPF\0", start + 2):
            _refuse_many_pictures(data)
    if size is None or not 1 <= scans <= MAX_SCANS:
        raise damaged("JPEG", f"it has {scans} scans" if size else "it has no header")
    return ImageHeader(format="jpeg", width=size[0], height=size[1], orientation=orientation or 1)


def _segment_end(data: bytes, start: int) -> int:
    if start + 2 > len(data):
        raise cut_off("JPEG")
    end = start + int.from_bytes(data[start : start + 2], "big")
    if end > len(data):
        raise cut_off("JPEG")
    return max(end, start + 2)


def _frame_size(segment: bytes, marker: int) -> tuple[int, int]:
    if len(segment) < 8:
        raise damaged("JPEG", "its header is too short")
    _, precision, height, width = struct.unpack_from(">HBHH", segment)
    if marker not in DECODED_FRAMES or precision != 8:
        raise ImageUnsupported("The JPEG image is lossless or has more than 8 bits: save it as a PNG.")
    return width, height


def _refuse_many_pictures(data: bytes) -> None:
    if not any(name in data for name in GAIN_MAPS):
        raise ImageAnimated("The JPEG file holds several pictures (MPO): send one of them.")
