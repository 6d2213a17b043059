"""The header of a JPEG (ITU-T T.81).

Cameras and phones append previews, gain maps and second views to a photograph (CIPA DC-007). The first image
of such a file is the photograph, which decoders and viewers show.
"""

import re
import struct

from paddlewheel.errors import ImageUnsupported
from workers.images.exif import read_orientation
from workers.images.header import MAX_PARTS, ImageHeader, damage_error, truncation_error

MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]", re.DOTALL)
"""Neither a stuffed byte nor a restart nor a fill byte, so it also finds the end of coded pixels."""
STANDALONE = frozenset({0x01, 0xD8})
EOI, SOS, APP1 = 0xD9, 0xDA, 0xE1
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
DECODED_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
COEFFICIENTS = 64
MAX_SCANS = 64
"""Each scan of a progressive file visits every pixel; encoders write about ten."""


def read_jpeg(data: bytes) -> ImageHeader:
    """Walk all segments up to the end of the image. Raises ImageCorrupt, ImageUnsupported."""
    size: tuple[int, int] | None = None
    orientation: int | None = None
    position = 2
    scans = 0
    ended = True
    segments: list[int] = []
    for _ in range(MAX_PARTS):
        found = MARKER.search(data, position)
        if found is None and is_complete(data, segments):
            ended = False  # whether pixels of the last scan are missing too, only decoding shows
            break
        if found is None:
            raise truncation_error("JPEG")
        marker, start = data[found.end() - 1], found.end()
        if marker == EOI:
            break
        position = start if marker in STANDALONE else _segment_end(data, start)
        if marker == SOS:
            scans += 1
            segments.append(start)
        elif marker in FRAMES:
            if size is not None:
                raise damage_error("JPEG", "it has two headers")
            size = _frame_size(data[start:position], marker)
            segments.append(start)
        elif marker == APP1 and orientation is None and data.startswith(b"Exif\0\0", start + 2):
            orientation = read_orientation(data[start + 2 : position])
    if size is None or not 1 <= scans <= MAX_SCANS:
        raise damage_error("JPEG", f"it has {scans} scans" if size else "it has no header")
    return ImageHeader(
        format="jpeg", width=size[0], height=size[1], orientation=orientation or 1, ended=ended
    )


def _segment_end(data: bytes, start: int) -> int:
    if start + 2 > len(data):
        raise truncation_error("JPEG")
    end = start + int.from_bytes(data[start : start + 2], "big")
    if end > len(data):
        raise truncation_error("JPEG")
    return max(end, start + 2)


def _frame_size(segment: bytes, marker: int) -> tuple[int, int]:
    if len(segment) < 8:
        raise damage_error("JPEG", "its header is too short")
    _, precision, height, width = struct.unpack_from(">HBHH", segment)
    if marker not in DECODED_FRAMES or precision != 8:
        raise ImageUnsupported("The JPEG image is lossless or has more than 8 bits: save it as a PNG.")
    return width, height


def is_complete(data: bytes, segments: list[int]) -> bool:
    """Whether the scans bring every coefficient of every component to its last bit.

    `segments` are where the frame's header and those of the scans begin. A progressive file without its last
    scans has whole pixels of a worse picture.
    """
    if not segments:
        return False
    frame, *scans = segments
    left = {(each, place) for each in _components(data, frame + 7, 3) for place in range(COEFFICIENTS)}
    for start in scans:
        after = start + 3 + 2 * data[start + 2]
        first, last, bits = data[after : after + 3]
        if bits & 0x0F == 0:
            left -= {
                (each, place) for each in _components(data, start + 2, 2) for place in range(first, last + 1)
            }
    return not left


def _components(data: bytes, count_at: int, step: int) -> bytes:
    """The ids of the components that a header lists, behind the byte that counts them."""
    return data[count_at + 1 : count_at + 1 + step * data[count_at] : step]
