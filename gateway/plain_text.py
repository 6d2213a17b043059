"""Text that Postgres can keep: every character but NUL."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator

from paddlewheel.errors import InvalidRequest

_WORDS = "The text holds a NUL character: leave it out."


def _checked(text: str) -> str:
    if "\0" in text:
        raise ValueError(_WORDS)
    return text


PlainText = Annotated[str, AfterValidator(_checked)]


def require_plain(value: Any) -> None:
    """Raise InvalidRequest for a NUL in any text of a JSON value."""
    if isinstance(value, str) and "\0" in value:
        raise InvalidRequest(_WORDS)
    if isinstance(value, Mapping):
        require_plain(list(value))
        require_plain(list(value.values()))
    elif isinstance(value, list):
        for each in value:
            require_plain(each)
