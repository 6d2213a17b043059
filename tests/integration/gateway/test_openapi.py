"""The OpenAPI document holds: whatever fits it or does not, no request breaks the gateway.

Every operation is called with generated requests, good and bad. Workers are stood in for by a thread that
refuses every task with a typed error.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway.app import create_app
from gateway.settings import GatewaySettings
from local.stack import LocalStack
from paddlewheel.errors import ImageCorrupt
from tests.integration.client.answering import Answerer


@pytest.fixture(scope="module")
def gateway_url() -> Iterator[str]:
    with (
        tempfile.TemporaryDirectory(prefix="paddlewheel-") as folder,
        LocalStack(
            Path(folder),
            services={"valkey", "postgres", "gateway"},
            environment={**os.environ, "PADDLEWHEEL_GATEWAY_MAX_BODY_BYTES": "100000"},
            ephemeral=True,
        ) as stack,
        Answerer(stack.servers.broker_url, refuse),
    ):
        (door,) = [member for member in stack.members if member.service.name == "gateway"]
        yield door.service.address


def refuse(request: dict[str, Any]) -> dict[str, Any]:
    del request
    raise ImageCorrupt("The image is cut off.")


SETTINGS = GatewaySettings.model_validate({"broker_url": "redis://nowhere", "database_url": "postgresql://"})
DOCUMENT = create_app(SETTINGS).openapi()

# One contract of each shape: the submissions of the others run the same code.
ALIKE = r"^/v1/tasks/(?!ocr\.read|faces\.identify/upload|gallery\.(append|remove)$)[a-z]+\."
schema = schemathesis.openapi.from_dict(DOCUMENT).exclude(path_regex=ALIKE)


@schema.parametrize()
@settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_no_request_breaks_the_gateway(case: Any, gateway_url: str) -> None:
    if "wait" in (case.query or {}):
        case.query["wait"] = 0
    case.call_and_validate(
        base_url=gateway_url,
        checks=[
            not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_schema_conformance,
        ],
        timeout=60,
    )
