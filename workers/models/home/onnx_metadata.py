"""The metadata of an ONNX file, read from its bytes.

An ONNX file is one protobuf message (onnx.proto: ModelProto); its field 14 holds pairs of a key (field 1)
and a value (field 2). Everything else, the weights among it, is stepped over.
"""

from workers.models.protobuf import fields

_METADATA_PROPS = 14


def onnx_metadata(model: bytes) -> dict[str, str]:
    """The pairs of `metadata_props`. Raises ValueError when the bytes are not a protobuf message."""
    pairs = {}
    for number, value in fields(memoryview(model)):
        if number == _METADATA_PROPS and isinstance(value, memoryview):
            entry = {n: bytes(v).decode() for n, v in fields(value) if isinstance(v, memoryview)}
            pairs[entry.get(1, "")] = entry.get(2, "")
    return pairs
