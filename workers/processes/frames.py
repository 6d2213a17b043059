"""Small JSON messages over a socket between the worker and a model process; tensors travel beside them."""

import json
import socket
import struct
from typing import Any, Final

_LENGTH: Final = struct.Struct("!I")
MAX_FRAME: Final = 1 << 20
"""A longer frame is garbage: no message comes near it."""


class BrokenFrameError(Exception):
    """The received bytes are not a message of this protocol."""


def send_frame(link: socket.socket, message: dict[str, Any]) -> None:
    """Send one message."""
    body = json.dumps(message).encode()
    link.sendall(_LENGTH.pack(len(body)) + body)


def receive_frame(link: socket.socket) -> dict[str, Any]:
    """Receive one message. Raises EOFError when the other side is gone, TimeoutError as the socket's."""
    (length,) = _LENGTH.unpack(_receive(link, _LENGTH.size))
    if length > MAX_FRAME:
        raise BrokenFrameError(f"a frame of {length} bytes")
    try:
        message = json.loads(_receive(link, length))
    except ValueError as err:
        raise BrokenFrameError("a frame that is not JSON") from err
    if not isinstance(message, dict):
        raise BrokenFrameError("a frame that is not an object")
    return message


def _receive(link: socket.socket, length: int) -> bytes:
    parts = b""
    while len(parts) < length:
        part = link.recv(length - len(parts))
        if not part:
            raise EOFError("the other side is gone")
        parts += part
    return parts
