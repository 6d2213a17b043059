"""Settings out of environment variables: a field `max_batch_size` is PADDLEWHEEL_MAX_BATCH_SIZE."""

import os
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ValidationError

from paddlewheel.errors import ConfigurationError

PREFIX: Final = "PADDLEWHEEL_"

ModelT = TypeVar("ModelT", bound=BaseModel)


NONE: Final = "none"
"""For no name at all: a variable that is empty counts as not set."""


def split(value: Any) -> Any:
    """A variable's value as names; anything else as it is."""
    if value == NONE:
        return ()
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(split)]
"""Several names; in a variable they are separated by commas."""

Name = Annotated[str, BeforeValidator(lambda value: "" if value == NONE else value)]
"""A name, or none."""


def read_settings(settings: type[ModelT], environment: Mapping[str, str] | None = None) -> ModelT:
    """The settings that the environment gives. Raises ConfigurationError that names what is wrong."""
    env = os.environ if environment is None else environment
    given = {
        name: env[PREFIX + name.upper()] for name in settings.model_fields if env.get(PREFIX + name.upper())
    }
    try:
        return settings.model_validate(given)
    except ValidationError as err:
        faults = "; ".join(
            f"{PREFIX}{str(each['loc'][0]).upper()}: {each['msg']}" if each["loc"] else each["msg"]
            for each in err.errors()
        )
        raise ConfigurationError(f"The settings are wrong: {faults}.") from err
