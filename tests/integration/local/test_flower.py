import http.client
import json
from base64 import b64encode
from collections.abc import Iterator

import pytest

from local.stack import LocalStack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    root = tmp_path_factory.mktemp("flower")
    with LocalStack(root, services={"valkey", "flower"}, ephemeral=True) as stack:
        yield stack


def status(stack: LocalStack, path: str, login: str = "") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", stack.state.ports["flower"], timeout=10)
    headers = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"} if login else {}
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/", "/workers", "/tasks", "/api/task/types"])
def test_nothing_is_shown_without_the_password(stack: LocalStack, path: str) -> None:
    assert status(stack, path) == 401
    assert status(stack, path, "paddlewheel:a guess") == 401


def test_the_login_of_the_connection_file_opens_it(stack: LocalStack) -> None:
    written = json.loads(stack.folder.connection_file.read_text())
    assert written["flower_url"].endswith(f":{stack.state.ports['flower']}")
    login = f"{written['flower_user']}:{written['flower_password']}"
    assert status(stack, "/api/task/types", login) == 200


def test_its_log_holds_no_password(stack: LocalStack) -> None:
    log = stack.folder.log("flower").read_text()
    assert "Visit me at" in log
    assert not any(password in log for password in stack.state.passwords.values())
