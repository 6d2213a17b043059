"""A contract's fields in the words of JSON, from its JSON schema."""

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel

from docs.generate.markdown import code

Schema = Mapping[str, Any]

_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "minItems": "at least {}",
    "maxItems": "at most {}",
}


def fields_of(model: type[BaseModel], mode: Literal["validation", "serialization"]) -> list[list[str]]:
    """Rows of name, type and default of a contract, as it is sent (validation) or answered."""
    return rows_of(model.model_json_schema(mode=mode))


def rows_of(schema: Schema) -> list[list[str]]:
    """Rows of name, type and default of an object's schema."""
    required = set(schema.get("required", ()))
    return [
        [code(name), type_of(field), "required" if name in required else _default_of(field)]
        for name, field in schema.get("properties", {}).items()
    ]


def type_of(schema: Schema) -> str:
    """A field's type in a few words; another contract by its name."""
    if "$ref" in schema:
        return code(schema["$ref"].rpartition("/")[2])
    if "const" in schema:
        return code(json.dumps(schema["const"]))
    if "enum" in schema:
        return ", ".join(code(json.dumps(each)) for each in schema["enum"])
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            return " or ".join(dict.fromkeys(type_of(each) for each in schema[union]))
    bounds = ", ".join(_bounds_of(schema))
    return f"{_name_of(schema)} ({bounds})" if bounds else _name_of(schema)


def _name_of(schema: Schema) -> str:
    kind = schema.get("type", "anything")
    if schema.get("format") == "date-time":
        return "time, ISO 8601"
    if "prefixItems" in schema:
        return "list of " + " and ".join(dict.fromkeys(type_of(each) for each in schema["prefixItems"]))
    if kind == "array":
        return f"list of {type_of(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {type_of(schema['additionalProperties'])} by name"
    return str(kind)


def _bounds_of(schema: Schema) -> list[str]:
    if "minItems" in schema and schema["minItems"] == schema.get("maxItems"):
        return [f"{schema['minItems']} items"]
    unit = " items" if schema.get("type") == "array" else ""
    return [words.format(f"{schema[key]:g}") + unit for key, words in _BOUNDS.items() if key in schema]


def _default_of(schema: Schema) -> str:
    return code(json.dumps(schema["default"])) if "default" in schema else ""
