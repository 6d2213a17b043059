"""A whole service with its HTTP door: Valkey, Postgres, a worker with the real models, a gateway."""

import base64
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.gateway import Gateway
from local.member import Member
from local.ports import free_port
from local.processes import wait_until
from local.stack import LocalStack

ROOT = Path(__file__).parents[3]

SETTINGS = {
    "PADDLEWHEEL_LOG_LEVEL": "WARNING",
    "PADDLEWHEEL_MODEL_HOME": str(ROOT / ".paddlewheel" / "models"),
    "PADDLEWHEEL_GATEWAY_SWEEP_INTERVAL": "0.2",
    "PADDLEWHEEL_WEBHOOK_SECRET": "tests-only",
    "PADDLEWHEEL_WEBHOOK_NETWORKS": "127.0.0.0/8",
    "PADDLEWHEEL_URL_ALLOW_HTTP": "true",
}


@pytest.fixture(scope="session")
def stack() -> Iterator[LocalStack]:
    """All of it; nobody needs a key."""
    with (
        tempfile.TemporaryDirectory(prefix="paddlewheel-") as folder,
        LocalStack(
            Path(folder),
            services={"valkey", "postgres", "gateway", "worker"},
            environment={**os.environ, **SETTINGS},
            ephemeral=True,
        ) as stack,
    ):
        yield stack


@pytest.fixture(scope="session")
def gateway_url(stack: LocalStack) -> str:
    """Where it answers."""
    (door,) = [member for member in stack.members if member.service.name == "gateway"]
    return door.service.address


@pytest.fixture(scope="session")
def guarded_url(stack: LocalStack) -> Iterator[str]:
    """Where a second gateway answers, which is open to nobody without a key."""
    closed = {**os.environ, **SETTINGS, "PADDLEWHEEL_GATEWAY_ANONYMOUS_SCOPES": ""}
    port = free_port(frozenset(stack.state.ports.values()))
    door = Gateway(servers=stack.servers, port=port, inherited=closed)
    door.name = "guarded-gateway"
    member = Member(door, stack.folder.log(door.name))
    stack.launch(member)
    try:
        assert wait_until(member.became_ready, door.start_seconds), member.log.read_text()[-3000:]
        yield door.address
    finally:
        member.kill()


def encoded(path: Path) -> str:
    """A file in base64."""
    return base64.b64encode(path.read_bytes()).decode()
