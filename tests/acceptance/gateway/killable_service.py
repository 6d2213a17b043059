"""Two gateways and two workers before one broker and one database, each a process that a test may kill."""

import os
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis

from database.pool import Database
from local.gateway import Gateway
from local.member import Member
from local.ports import free_port
from local.processes import wait_until
from local.service import Service
from local.stack import LocalStack
from local.worker import Worker
from tests.acceptance.conftest import PICTURES_ALONE, ROOT

GATEWAYS = ("gateway-1", "gateway-2")
WORKERS = ("worker-1", "worker-2")
START_SECONDS = 120.0
SETTINGS = {
    **PICTURES_ALONE,
    "PADDLEWHEEL_IMAGE_FEATURE_MODELS": "none",
    "PADDLEWHEEL_CLASSIFICATION_MODELS": "none",
    "PADDLEWHEEL_LOG_LEVEL": "WARNING",
    "PADDLEWHEEL_MODEL_HOME": str(ROOT / ".paddlewheel" / "models"),
    "PADDLEWHEEL_VISIBILITY_TIMEOUT": "3",
    # Suspended workers renew nothing: their tasks may be given to others more often than those of the dead.
    "PADDLEWHEEL_MAX_DELIVERIES": "20",
}


@dataclass(frozen=True, kw_only=True)
class KillableService:
    """The four members by name, and what tells a test how far they are."""

    members: Mapping[str, Member]
    broker: Redis = field(repr=False)
    database: Database = field(repr=False)
    _stack: LocalStack = field(repr=False)

    @property
    def gateways(self) -> list[str]:
        """Their addresses."""
        return [self.members[name].service.address for name in GATEWAYS]

    @property
    def workers(self) -> list[Member]:
        return [self.members[name] for name in WORKERS]

    def waiting(self) -> int:
        """Tasks that no worker has taken."""
        return int(self.broker.llen("gpu")) + int(self.broker.llen("index"))

    def under_way(self) -> int:
        """Tasks that are not answered."""
        return self.waiting() + int(self.broker.hlen("unacked"))

    def suspend(self, *members: Member) -> None:
        """Stop them where they are."""
        for member in members:
            os.kill(_pid(member), signal.SIGSTOP)

    def resume(self, *members: Member) -> None:
        """Let them go on."""
        for member in members:
            os.kill(_pid(member), signal.SIGCONT)

    def start_again(self, member: Member) -> None:
        """Start one that was killed."""
        self._stack.launch(member)

    def await_ready(self, *members: Member) -> None:
        """Wait until they answer."""
        for member in members:
            assert wait_until(member.became_ready, START_SECONDS), member.log.read_text()[-3000:]


@contextmanager
def killable_service() -> Iterator[KillableService]:
    """Ready, and gone at the end."""
    environment = {**os.environ, **SETTINGS}
    with (
        tempfile.TemporaryDirectory(prefix="paddlewheel-") as name,
        LocalStack(Path(name), services={"valkey", "postgres"}, ephemeral=True) as stack,
    ):
        folder, servers = Path(name), stack.servers
        services: list[Service] = [
            Worker(folder, number=number, share=2, servers=servers, inherited=environment)
            for number in (1, 2)
        ]
        taken = frozenset(stack.state.ports.values())
        for number in (1, 2):
            port = free_port(taken)
            taken |= {port}
            door = Gateway(servers=servers, port=port, inherited=environment)
            door.name = f"gateway-{number}"
            services.append(door)
        members = {each.name: Member(each, folder / f"{each.name}.log") for each in services}
        database, broker = Database(servers.database_url), Redis.from_url(servers.broker_url)
        made = KillableService(members=members, broker=broker, database=database, _stack=stack)
        try:
            for member in members.values():
                stack.launch(member)
            made.await_ready(*members.values())
            yield made
        finally:
            database.close()
            broker.close()
            for member in members.values():
                member.kill()


def _pid(member: Member) -> int:
    assert member.child is not None
    return member.child.pid
