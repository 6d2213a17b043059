"""The header of a BMP (the BITMAPCOREHEADER and BITMAPINFOHEADER families)."""

import struct

from paddlewheel.errors import ImageUnsupported
from workers.images.header import ImageHeader, damage_error, truncation_error

CORE_SIZE = 12
HEADER_SIZES = frozenset({CORE_SIZE, 40, 52, 56, 64, 108, 124})
DEPTHS = frozenset({1, 4, 8, 16, 24, 32})
UNCOMPRESSED = frozenset({0, 3})
RUN_LENGTH = frozenset({1, 2})


def is_bmp(data: bytes) -> bool:
    """`BM` also begins many a sentence, so the size of the second header has to be one that exists."""
    return data[:2] == b"BM" and (len(data) < 18 or int.from_bytes(data[14:18], "little") in HEADER_SIZES)


def read_bmp(data: bytes) -> ImageHeader:
    """Check that all rows are there. Raises ImageCorrupt, ImageUnsupported."""
    try:
        pixels, header_size = struct.unpack_from("<II", data, 10)
        if header_size == CORE_SIZE:
            width, height, _, depth = struct.unpack_from("<HHHH", data, 18)
            compression = 0
        else:
            width, height, _, depth, compression = struct.unpack_from("<iiHHI", data, 18)
    except struct.error as err:
        raise truncation_error("BMP") from err
    if depth not in DEPTHS:
        raise damage_error("BMP", f"a pixel cannot have {depth} bits")
    if compression not in UNCOMPRESSED | RUN_LENGTH:
        raise ImageUnsupported("The BMP image holds another format: send that instead.")
    rows = abs(height)  # a negative height means that rows run from top to bottom
    if compression in UNCOMPRESSED and pixels + (width * depth + 31) // 32 * 4 * rows > len(data):
        raise truncation_error("BMP")
    return ImageHeader(format="bmp", width=width, height=rows)
