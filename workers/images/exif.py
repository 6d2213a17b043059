"""The one EXIF field that changes pixels: the orientation (EXIF 2.3, tag 0x0112 of the first directory)."""

import struct

ORIENTATION = 0x0112
SHORT, LONG = 3, 4


def read_orientation(exif: bytes) -> int:
    """1 to 8; 1, which is upright, where the field is missing or malformed."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        return _find_orientation(tiff, order)
    except struct.error:
        return 1


def _find_orientation(tiff: bytes, order: str) -> int:
    (directory,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, directory)
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(f"{order}HH", tiff, entry)
        if tag == ORIENTATION and kind in (SHORT, LONG):
            (value,) = struct.unpack_from(f"{order}{'H' if kind == SHORT else 'I'}", tiff, entry + 8)
            return int(value) if 1 <= value <= 8 else 1
    return 1
