"""A whole service with its HTTP door: Valkey, Postgres, a worker with the real models, a gateway."""

import base64
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

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
def gateway_url() -> Iterator[str]:
    """Where it answers; nobody needs a key."""
    with (
        tempfile.TemporaryDirectory(prefix="paddlewheel-") as folder,
        LocalStack(
            Path(folder),
            services={"valkey", "postgres", "gateway", "worker"},
            environment={**os.environ, **SETTINGS},
            ephemeral=True,
        ) as stack,
    ):
        (door,) = [member for member in stack.members if member.service.name == "gateway"]
        yield door.service.address


def encoded(path: Path) -> str:
    """A file in base64."""
    return base64.b64encode(path.read_bytes()).decode()
