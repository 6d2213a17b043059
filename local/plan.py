"""Plans which services a stack runs, where and in which order, and what clients need to reach them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from local.flower import Flower
from local.gateway import Gateway
from local.postgres import Postgres
from local.servers import Servers
from local.service import Service
from local.state import StackState
from local.valkey import Valkey
from local.worker import Worker
from paddlewheel.errors import ConfigurationError

SERVICES = ("valkey", "postgres", "flower", "gateway", "worker")


@dataclass(frozen=True, kw_only=True)
class StackRequest:
    """A request for a stack: some of SERVICES, the number of workers, and the operator's own servers."""

    services: frozenset[str]
    workers: int
    servers: Servers

    def __post_init__(self) -> None:
        unknown = self.services - set(SERVICES)
        if unknown:
            raise ConfigurationError(f"There is no service {min(unknown)}: there are {', '.join(SERVICES)}.")
        if self.workers < 1:
            raise ConfigurationError("At least one worker is needed; leave 'worker' out to run none.")
        if "gateway" in self.services and not (self.runs_postgres or self.servers.database_url):
            raise ConfigurationError(
                "The gateway needs a database: add postgres, or set PADDLEWHEEL_DATABASE_URL."
            )
        users = self.services & {"flower", "gateway", "worker"}
        if users and not (self.runs_valkey or self.servers.broker_url):
            raise ConfigurationError(
                "Workers, Flower and the gateway need a broker: add valkey, or set PADDLEWHEEL_BROKER_URL."
            )

    def names(self) -> list[str]:
        """The names of the services to run."""
        names = ["valkey"] * self.runs_valkey + ["postgres"] * self.runs_postgres
        if "worker" in self.services:
            names += [f"worker-{number}" for number in range(1, self.workers + 1)]
        return names + [name for name in ("flower", "gateway") if name in self.services]

    @property
    def runs_valkey(self) -> bool:
        return "valkey" in self.services and not self.servers.broker_url

    @property
    def runs_postgres(self) -> bool:
        return "postgres" in self.services and not self.servers.database_url


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`stages` start one after the other; the services of one stage start together.

    `servers` holds all addresses, ours and the operator's; `connection` is what clients on this machine read.
    """

    stages: tuple[tuple[Service, ...], ...]
    servers: Servers
    connection: Mapping[str, str]
    notes: tuple[str, ...] = ()


def plan(folder: Path, state: StackState, wanted: StackRequest, environment: Mapping[str, str]) -> Plan:
    """Plan the requested stack. Draws ports and passwords that the state does not have yet.

    `environment` is the base environment of Flower, the gateway and the workers.
    """
    valkey = _valkey(folder, state) if wanted.runs_valkey else None
    postgres = _postgres(folder, state) if wanted.runs_postgres else None
    servers = replace(
        wanted.servers,
        broker_url=valkey.url if valkey else wanted.servers.broker_url,
        database_url=postgres.url if postgres else wanted.servers.database_url,
    ).completed()
    flower = _flower(state, servers, environment) if "flower" in wanted.services else None
    gateway = _gateway(state, servers, environment) if "gateway" in wanted.services else None
    count = wanted.workers if "worker" in wanted.services else 0
    workers = [
        Worker(folder, number=number, share=count, servers=servers, inherited=environment)
        for number in range(1, count + 1)
    ]
    return Plan(
        # Postgres first: creating its cluster takes a second, which would count as Valkey's start.
        stages=(_present(postgres, valkey), _present(*workers, flower, gateway)),
        servers=servers,
        connection=servers.connection() | _connections(flower, gateway),
        notes=(postgres.note,) if postgres and postgres.note else (),
    )


def _valkey(folder: Path, state: StackState) -> Valkey:
    return Valkey(folder, port=state.port("valkey"), password=state.password("valkey"))


def _postgres(folder: Path, state: StackState) -> Postgres:
    return Postgres(folder, port=state.port("postgres"), password=state.password("postgres"))


def _flower(state: StackState, servers: Servers, environment: Mapping[str, str]) -> Flower:
    return Flower(
        servers=servers,
        port=state.port("flower"),
        password=state.password("flower"),
        inherited=environment,
    )


def _gateway(state: StackState, servers: Servers, environment: Mapping[str, str]) -> Gateway:
    return Gateway(servers=servers, port=state.port("gateway"), inherited=environment)


def _connections(*services: Flower | Gateway | None) -> dict[str, str]:
    return {name: value for service in services if service for name, value in service.connection().items()}


def _present(*services: Service | None) -> tuple[Service, ...]:
    return tuple(service for service in services if service)
