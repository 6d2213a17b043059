"""A result file's lines, as EasyVision writes them: `ADDRESS, {json}`; an error has the same shape.

Source: Platform for AI, EasyVision, offline image classification, output format.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from paddlewheel.contracts.base import ItemError

SEPARATOR: Final = b", "
_ERROR: Final = b', {"error": {"code": '
"""What any line of an error holds: the others need not be parsed."""


def result_line(address: bytes, fields: Mapping[str, Any]) -> bytes:
    """One line with its end. The address is the manifest's, byte for byte."""
    return address + SEPARATOR + json.dumps(fields, ensure_ascii=False).encode() + b"\n"


def error_line(address: bytes, error: ItemError) -> bytes:
    """The line of an image that failed."""
    return result_line(address, {"error": {"code": error.code, "message": error.message}})


def read_line(line: bytes) -> tuple[bytes, dict[str, Any]]:
    """Address and fields of a line. An address may hold commas and braces: the fields go to the end.

    Raises ValueError for what is no line of a result file.
    """
    at = line.find(b", {")
    while at >= 0:
        try:
            fields = json.loads(line[at + len(SEPARATOR) :])
        except ValueError:
            at = line.find(b", {", at + 1)
        else:
            return line[:at], fields
    raise ValueError("the line does not end in ', ' and a JSON object")


def is_error(line: bytes) -> bool:
    """Whether a line tells of an image that failed."""
    return _ERROR in line and read_line(line)[1].keys() == {"error"}
