from pathlib import Path

import pytest

from local.plan import SERVICES, Plan, StackRequest, plan
from local.servers import Servers
from local.state import StackState
from paddlewheel.errors import ConfigurationError

OWN = Servers(broker_url="redis://:secret@broker.example:6379/3", database_url="postgresql://db.example/one")


def wanted(*services: str, workers: int = 1, servers: Servers | None = None) -> StackRequest:
    return StackRequest(services=frozenset(services), workers=workers, servers=servers or Servers())


def drawn(folder: Path, choice: StackRequest) -> Plan:
    return plan(folder, StackState(), choice, {"KEPT": "yes"})


def names(made: Plan) -> list[list[str]]:
    return [sorted(service.name for service in stage) for stage in made.stages]


def test_servers_start_before_those_who_need_them(tmp_path: Path) -> None:
    made = drawn(tmp_path, wanted(*SERVICES, workers=2))
    assert names(made) == [["postgres", "valkey"], ["flower", "gateway", "worker-1", "worker-2"]]


def test_the_promised_names_are_those_of_the_plan(tmp_path: Path) -> None:
    for choice in (wanted(*SERVICES, workers=3), wanted("valkey"), wanted(*SERVICES, servers=OWN)):
        made = drawn(tmp_path, choice)
        assert sorted(choice.names()) == sorted(name for stage in names(made) for name in stage)


def test_the_connection_names_every_server_and_who_may_see_flower(tmp_path: Path) -> None:
    connection = drawn(tmp_path, wanted(*SERVICES)).connection
    servers = {"broker_url", "result_url", "blob_url", "database_url"}
    assert set(connection) == servers | {"flower_url", "flower_user", "flower_password", "gateway_url"}
    assert connection["broker_url"] == connection["result_url"] == connection["blob_url"]
    assert connection["flower_password"] not in connection["flower_url"]


def test_servers_of_the_operator_are_used_and_not_started(tmp_path: Path) -> None:
    made = drawn(tmp_path, wanted(*SERVICES, servers=OWN))
    assert names(made) == [[], ["flower", "gateway", "worker-1"]]
    assert made.connection["broker_url"] == made.connection["blob_url"] == OWN.broker_url
    assert made.connection["database_url"] == OWN.database_url


def test_one_server_of_the_operator_replaces_that_one_alone(tmp_path: Path) -> None:
    choice = wanted("valkey", "postgres", servers=Servers(database_url=OWN.database_url))
    assert names(drawn(tmp_path, choice)) == [["valkey"], []]


def test_a_service_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="There is no service redis"):
        wanted("redis")


def test_workers_without_a_broker_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="need a broker"):
        wanted("worker")
    assert wanted("worker", servers=OWN).names() == ["worker-1"]


def test_no_worker_at_all_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="At least one"):
        wanted("valkey", "worker", workers=0)
