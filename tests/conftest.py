"""Real servers for the tests that need them, started once a session and gone with it."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:  # the client's own tests run without what a store's server needs
    from tests.object_server import ObjectServer

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


@pytest.fixture(scope="session")
def object_store() -> "Iterator[ObjectServer]":
    """A server of the S3 protocol, which fsspec knows by its settings as it does in a worker."""
    from tests.object_server import known_to_fsspec, object_server

    with object_server() as server, known_to_fsspec(server):
        yield server
