"""Pictures made as they are needed: nobody's photographs, and every format that a test asks for."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def picture(width: int = 90, height: int = 60, seed: int = 0) -> Pixels:
    """A smooth coloured picture in RGB, without any symmetry."""
    rows, columns = np.mgrid[0:height, 0:width]
    phase = np.random.default_rng(seed).uniform(0, 6.28, 3)
    waves = [np.sin(columns / (9 + 4 * c) + rows / (15 - 3 * c) + phase[c]) for c in range(3)]
    return np.asarray(np.stack(waves, axis=-1) * 100 + 128 + columns[..., None] / width * 27, np.uint8)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:  # noqa: A002 - Pillow's own name for it
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def encoded(format: str, mode: str = "RGB", **options: Any) -> bytes:  # noqa: A002
    """The picture in a format and in one of Pillow's modes."""
    return saved(Image.fromarray(picture()).convert(mode), format, **options)


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of_zeros(width: int, height: int) -> bytes:
    """A black PNG of one bit a pixel, written row by row: 30,000 x 30,000 make a file of 109 kB."""
    compressor = zlib.compressobj()
    row = bytes(1 + (width + 7) // 8)
    pixels = b"".join(compressor.compress(row) for _ in range(height)) + compressor.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND")
