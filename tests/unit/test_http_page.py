"""docs/how-to/call-over-http.md says what the gateway has."""

import re
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.app import create_app
from gateway.settings import SCOPES, GatewaySettings
from gateway.webhooks import secret_of, signed_headers

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "call-over-http.md").read_text()
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"
SETTINGS = GatewaySettings.model_validate({"broker_url": "redis://nowhere", "database_url": "postgresql://"})


def test_the_reference_lists_every_setting() -> None:
    page = REFERENCE.read_text().split("## Gateway")[1]
    for name, field in GatewaySettings.model_fields.items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `PADDLEWHEEL_{name.upper()}` |")]
        assert row.endswith(f"| {field.description} |")


def test_every_setting_of_the_page_is_one() -> None:
    named = set(re.findall(r"PADDLEWHEEL_(GATEWAY_[A-Z_]+|URL_[A-Z_]+|WEBHOOK_[A-Z_]+)", PAGE))
    assert named
    assert {name.lower() for name in named} <= set(GatewaySettings.model_fields)


@pytest.mark.parametrize("scope", SCOPES)
def test_the_page_says_what_a_scope_opens(scope: str) -> None:
    assert f"| `{scope}` |" in PAGE


def test_every_door_of_the_page_is_there() -> None:
    paths = set(create_app(SETTINGS).openapi()["paths"])
    assert {"/face-recognition-index-build", "/shitu-infer", "/ocr", "/metrics", "/v1/images"} <= paths
    table = re.findall(r"^\| `(GET|POST) (/v1/\S+?)[?`]", PAGE, re.MULTILINE)
    assert len(table) >= 9
    for _, path in table:
        shown = path.replace("NAME", "ocr.read").replace("ID", "{task_id}")
        assert shown in paths, shown


def test_the_pages_ten_lines_verify_a_webhook() -> None:
    (code,) = [each for each in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "def verified" in each]
    scope: dict[str, Any] = {}
    exec(compile(code, "docs/how-to/call-over-http.md", "exec"), scope)  # noqa: S102 - the page's own example
    verified = scope["verified"]
    secret = secret_of("master", "key")
    headers = signed_headers(secret, "task_1", int(time.time()), b"{}")
    assert verified(secret, headers, b"{}")
    assert not verified(secret, headers, b"{ }")
    assert not verified(secret_of("master", "other"), headers, b"{}")
    assert not verified(secret, signed_headers(secret, "task_1", int(time.time()) - 900, b"{}"), b"{}")
