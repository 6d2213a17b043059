"""A PNG decoder of the tests' own, so that an encoder is not checked against itself."""

import struct
import zlib

CHANNELS = {0: 1, 2: 3, 6: 4}


def png_pixels(data: bytes) -> tuple[int, int, int, bytes]:
    """Width, height, channels and rows of an 8-bit PNG whose filters are None or Up."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = [], 8
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", data, at + 8 + size) == (zlib.crc32(kind + body),)
        chunks.append((kind, body))
        at += 12 + size
    assert [kind for kind, _ in chunks] == [b"IHDR", b"IDAT", b"IEND"]
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", chunks[0][1])
    assert (depth, rest) == (8, [0, 0, 0])
    stride = width * CHANNELS[colour]
    return width, height, CHANNELS[colour], _unfiltered(zlib.decompress(chunks[1][1]), stride, height)


def _unfiltered(data: bytes, stride: int, height: int) -> bytes:
    assert len(data) == (stride + 1) * height
    above, rows = bytes(stride), []
    for start in range(0, len(data), stride + 1):
        kind, row = data[start], data[start + 1 : start + 1 + stride]
        assert kind in (0, 2)
        if kind == 2:
            row = bytes((a + b) % 256 for a, b in zip(row, above, strict=True))
        rows.append(row)
        above = row
    return b"".join(rows)
