"""Contracts built from a caller's fields; an error says in one line what does not fit."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from paddlewheel.errors import InvalidRequest

ModelT = TypeVar("ModelT", bound=BaseModel)


def check_fields(contract: type[ModelT], fields: dict[str, Any]) -> ModelT:
    """The contract of these fields, or InvalidRequest with what does not fit."""
    try:
        return contract.model_validate(fields)
    except ValidationError as err:
        raise InvalidRequest(explain(err)) from err


def explain(err: ValidationError) -> str:
    """A validation error in one line, without the values (they may be private)."""
    parts = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in err.errors()]
    return f"The request does not fit the contract: {'; '.join(parts)}."
