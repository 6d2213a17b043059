"""The page of settings, from the fields that the worker and the gateway read."""

from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from docs.generate.markdown import code, wrap, write_page, write_table
from gateway.settings import GatewaySettings
from paddlewheel.wire.environment import PREFIX
from workers.settings import WorkerSettings

ROOT: Final = Path(__file__).parents[2]

_HEADER: Final = ("variable", "default", "meaning")
_ON_BROKER: Final = ("result_url", "blob_url")
"""Addresses that are the broker's where they are not set."""


def write_settings() -> str:
    """The variables of a worker and of a gateway."""
    return write_page(
        "Settings",
        wrap(
            "A setting is an environment variable. Lists are separated by commas; `none` stands for"
            " an empty list or for no name; an empty variable counts as not set. A worker or gateway"
            " with a wrong setting does not start, and says which one is wrong. The client reads"
            " `PADDLEWHEEL_BROKER_URL`, `PADDLEWHEEL_RESULT_URL` and `PADDLEWHEEL_BLOB_URL` where its"
            " constructor is not given them."
        ),
        "## Worker",
        write_table(_HEADER, _rows(WorkerSettings)),
        "## Gateway",
        write_table(_HEADER, _rows(GatewaySettings)),
    )


def _rows(settings: type[BaseModel]) -> list[tuple[str, ...]]:
    return [
        (code(PREFIX + name.upper()), _default(name, field), field.description or "")
        for name, field in settings.model_fields.items()
    ]


def _default(name: str, field: FieldInfo) -> str:
    if name in _ON_BROKER:
        return "the broker's"
    if field.is_required():
        return "required"
    return code(_as_variable(field.get_default(call_default_factory=True, validated_data={})))


def _as_variable(value: Any) -> str:
    """A default as one would write it into the environment; folders from the checkout's root."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list | frozenset):
        return ",".join(str(each) for each in value) or "none"
    if isinstance(value, dict) or value is None:
        return ""
    return str(value).replace(f"{ROOT}/", "")
