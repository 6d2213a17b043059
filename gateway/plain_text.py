"""Text that Postgres can store: every character except NUL."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator

from paddlewheel.errors import InvalidRequest

_MESSAGE = "The text holds a NUL character: leave it out."


def _refuse_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError(_MESSAGE)
    return text


PlainText = Annotated[str, AfterValidator(_refuse_nul)]


def require_plain(value: Any) -> None:
    """Raise InvalidRequest if any text of a JSON value holds a NUL."""
    if isinstance(value, str) and "\0" in value:
        raise InvalidRequest(_MESSAGE)
    if isinstance(value, Mapping):
        require_plain(list(value))
        require_plain(list(value.values()))
    elif isinstance(value, list):
        for each in value:
            require_plain(each)
