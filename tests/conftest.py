"""Real servers for the tests that need them, started once a session and gone with it."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings

# A machine under load must not fail a property; the rest stays as Hypothesis has it, on CI and elsewhere.
settings.register_profile("unhurried", parent=settings.default, deadline=None)
settings.load_profile("unhurried")


@dataclass(frozen=True, kw_only=True)
class RunningServer:
    url: str = field(repr=False)


@pytest.fixture(scope="session")
def valkey() -> Iterator[RunningServer]:
    """A Valkey server of the session's own; `url` is a Redis address with its password."""
    from local.stack import LocalStack

    with (
        tempfile.TemporaryDirectory(prefix="paddlewheel-") as root,
        LocalStack(Path(root), services={"valkey"}, ephemeral=True) as stack,
    ):
        yield RunningServer(url=stack.servers.broker_url)


@pytest.fixture(scope="session")
def postgres() -> Iterator[RunningServer]:
    """A Postgres server of the session's own; `url` is the address of its empty database."""
    from local.stack import LocalStack

    with (
        tempfile.TemporaryDirectory(prefix="paddlewheel-") as root,
        LocalStack(Path(root), services={"postgres"}, ephemeral=True) as stack,
    ):
        yield RunningServer(url=stack.servers.database_url)
