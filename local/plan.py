"""Which services a stack runs, where, in which order, and what the others are told of them."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from local.postgres import Postgres
from local.servers import Servers
from local.service import Service
from local.state import State, StateFolder
from local.valkey import Valkey


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`stages` start one after the other; the services of one stage start together.

    `servers` are the addresses, ours and the operator's; `connection` is what clients of this machine read.
    """

    stages: tuple[tuple[Service, ...], ...]
    servers: Servers
    connection: dict[str, str]
    notes: tuple[str, ...] = ()


def plan(folder: StateFolder, state: State, services: Collection[str], given: Servers) -> Plan:
    """A plan for the named services. Draws the ports and passwords that the state does not have yet."""
    stage: list[Service] = []
    notes = []
    servers = given
    if "valkey" in services and not given.broker_url:
        valkey = Valkey(folder.path, port=state.port("valkey"), password=state.password("valkey"))
        servers = replace(servers, broker_url=valkey.url)
        stage.append(valkey)
    if "postgres" in services and not given.database_url:
        postgres = Postgres(folder.path, port=state.port("postgres"), password=state.password("postgres"))
        servers = replace(servers, database_url=postgres.url)
        notes += [postgres.note] if postgres.note else []
        stage.append(postgres)
    servers = servers.completed()
    return Plan(stages=(tuple(stage),), servers=servers, connection=servers.connection(), notes=tuple(notes))
