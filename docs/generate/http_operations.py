"""The page of HTTP, from the gateway's OpenAPI document."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from docs.generate.json_types import rows_of, type_of
from docs.generate.markdown import code, wrap, write_page, write_table
from gateway.app import create_app
from gateway.settings import GatewaySettings
from paddlewheel.contracts.known_tasks import TASKS

_SETTINGS: Final = GatewaySettings.model_validate(
    {"broker_url": "redis://broker", "database_url": "postgresql://database"}
)
_TASK_NAMES: Final = frozenset(spec.name for spec in TASKS)

Operation = Mapping[str, Any]


def write_http() -> str:
    """Every operation with its parameters and its body."""
    document = create_app(_SETTINGS).openapi()
    operations = _by_tag(document["paths"])
    bodies = {
        name: document["components"]["schemas"][name]
        for group in operations.values()
        for operation in group.values()
        if (name := _body_of(operation)) in document["components"]["schemas"]
    }
    return write_page(
        "HTTP",
        wrap(
            "The gateway serves the whole document at `/openapi.json` and a page of it at `/docs`."
            " `NAME` stands for a task of the page [Tasks](tasks.md), which lists its body's fields"
            " too. Errors are on the page [Errors](errors.md#http-statuses)."
        ),
        *(part for tag, group in operations.items() for part in _section(tag, group)),
        "## Bodies",
        *(_body(name, schema) for name, schema in bodies.items()),
    )


def _by_tag(paths: Mapping[str, Mapping[str, Operation]]) -> dict[str, dict[str, Operation]]:
    """The operations of each tag by method and path; the tasks' own are one row with NAME."""
    found: dict[str, dict[str, Operation]] = defaultdict(dict)
    for path, methods in paths.items():
        for method, operation in methods.items():
            name = next((part for part in path.split("/") if part in _TASK_NAMES), None)
            shown = path.replace(f"/{name}", "/NAME") if name else path
            operation = {**operation, "named": name is not None}
            found[operation["tags"][0]].setdefault(f"{method.upper()} {shown}", operation)
    return dict(found)


def _section(tag: str, operations: Mapping[str, Operation]) -> list[str]:
    rows = [
        (
            code(name),
            ", ".join(code(each["name"]) for each in operation.get("parameters", ())),
            "" if operation["named"] else _link(_body_of(operation)),
            _summary(operation),
        )
        for name, operation in operations.items()
    ]
    return [
        f"## {tag}",
        write_table(("operation", "parameters", "body", "meaning"), rows),
        _parameters(operations),
    ]


def _summary(operation: Operation) -> str:
    if operation["named"]:
        return str(operation["summary"]).replace(_name_in(operation["summary"]), "a task")
    return " ".join(str(operation.get("description", operation["summary"])).split("\n\n")[0].split())


def _name_in(summary: str) -> str:
    return next(word for word in summary.split() if word in _TASK_NAMES)


def _parameters(operations: Mapping[str, Operation]) -> str:
    rows = {
        each["name"]: (code(each["name"]), each["in"], type_of(each["schema"]), each.get("description", ""))
        for operation in operations.values()
        for each in operation.get("parameters", ())
        if each["in"] != "path"
    }
    return write_table(("parameter", "in", "type", "meaning"), rows.values())


def _body_of(operation: Operation) -> str:
    """The name of the body's contract, where it is one."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return "" if operation["named"] else str(content.get("schema", {}).get("$ref", "")).rpartition("/")[2]


def _link(name: str) -> str:
    return f"[`{name}`](#{name.lower()})" if name else ""


def _body(name: str, schema: Mapping[str, Any]) -> str:
    parts = [
        f"### {name}",
        wrap(schema.get("description", "")),
        write_table(("field", "type", "default"), rows_of(schema)),
    ]
    return "\n\n".join(filter(None, parts))
