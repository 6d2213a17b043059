"""The metadata of an ONNX file, read from its bytes.

An ONNX file is one protobuf message (onnx.proto: ModelProto); its field 14 holds pairs of a key (field 1)
and a value (field 2). Everything else, the weights among it, is stepped over.
"""

from collections.abc import Iterator

_METADATA_PROPS = 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def onnx_metadata(model: bytes) -> dict[str, str]:
    """The pairs of `metadata_props`. Raises ValueError when the bytes are not a protobuf message."""
    pairs = {}
    for number, value in _fields(memoryview(model)):
        if number == _METADATA_PROPS and value is not None:
            entry = {n: bytes(v).decode() for n, v in _fields(value) if v is not None}
            pairs[entry.get(1, "")] = entry.get(2, "")
    return pairs


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | None]]:
    """Each field's number with its bytes; None stands for a number."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        size, wire = 0, key & 7
        if wire == _VARINT:
            _, at = _varint(message, at)
        elif wire == _BYTES:
            size, at = _varint(message, at)
        elif wire in (_FIXED32, _FIXED64):
            at += 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"protobuf wire type {wire} at byte {at}")
        if at + size > len(message):
            raise ValueError("the message is cut off")
        yield key >> 3, message[at : at + size] if wire == _BYTES else None
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise ValueError("the message is cut off")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number is too long")
