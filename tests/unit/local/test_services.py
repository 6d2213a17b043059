import os
import stat
from pathlib import Path

import pytest

from local.checkout import CHECKOUT
from local.flower import Flower
from local.gateway import Gateway
from local.packages import program
from local.postgres import Postgres
from local.servers import Servers
from local.service import Service
from local.valkey import Valkey
from local.worker import Worker
from paddlewheel.errors import ConfigurationError

PASSWORD = "hidden-word"
BROKER = f"redis://:{PASSWORD}@127.0.0.1:1/0"


@pytest.fixture
def flower() -> Flower:
    return Flower(
        servers=Servers(broker_url=BROKER).completed(),
        port=1,
        password=PASSWORD,
        inherited={"PATH": os.defpath},
    )


@pytest.fixture
def gateway() -> Gateway:
    servers = Servers(broker_url=BROKER, database_url=f"postgresql://me:{PASSWORD}@127.0.0.1:1/db")
    return Gateway(servers=servers.completed(), port=1, inherited={"PATH": os.defpath})


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    servers = Servers(broker_url=BROKER).completed()
    return Worker(tmp_path, number=2, share=2, servers=servers, inherited={"PADDLEWHEEL_LOG_LEVEL": "DEBUG"})


@pytest.fixture
def valkey(tmp_path: Path) -> Valkey:
    return Valkey(tmp_path, port=1, password=PASSWORD)


@pytest.fixture
def postgres(tmp_path: Path) -> Postgres:
    return Postgres(tmp_path / ".paddlewheel", port=1, password=PASSWORD)


@pytest.mark.parametrize("name", ["flower", "gateway", "worker", "valkey", "postgres"])
def test_no_password_is_ever_in_an_argument_or_in_the_address(
    name: str, request: pytest.FixtureRequest
) -> None:
    service: Service = request.getfixturevalue(name)
    assert PASSWORD not in " ".join(service.launch().argv)
    assert PASSWORD not in service.address
    assert PASSWORD not in repr(service.launch())


@pytest.mark.parametrize("name", ["flower", "gateway", "valkey"])
def test_a_service_that_does_not_run_is_not_ready(name: str, request: pytest.FixtureRequest) -> None:
    service: Service = request.getfixturevalue(name)
    assert not service.ready(1)


def test_valkey_keeps_everything_on_disk_and_evicts_nothing(valkey: Valkey, tmp_path: Path) -> None:
    valkey.prepare()
    config = tmp_path / "valkey.conf"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    settings = dict(line.split(" ", 1) for line in config.read_text().splitlines())
    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "everysec"
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["bind"] == "127.0.0.1"
    assert settings["requirepass"] == PASSWORD


def test_a_folder_with_spaces_and_quotes_is_written_so_that_valkey_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / 'a "b" c\\d'
    folder.mkdir()
    Valkey(folder, port=1, password=PASSWORD).prepare()
    line = next(each for each in (folder / "valkey.conf").read_text().splitlines() if each.startswith("dir "))
    assert line.endswith('a \\"b\\" c\\\\d/valkey"')


def test_postgres_listens_on_loopback_tcp_alone(postgres: Postgres) -> None:
    argv = postgres.launch().argv
    assert "listen_addresses=127.0.0.1" in argv
    assert "unix_socket_directories=" in argv


def test_the_servers_get_nothing_of_our_environment(valkey: Valkey, postgres: Postgres) -> None:
    assert set(valkey.launch().env) <= {"PATH", "LC_ALL", "TZ"}
    assert set(postgres.launch().env) <= {"PATH", "LC_ALL", "TZ"}


def test_flower_asks_for_a_password_on_loopback(flower: Flower) -> None:
    env = flower.launch().env
    assert env["FLOWER_BASIC_AUTH"] == f"paddlewheel:{PASSWORD}"
    assert env["FLOWER_ADDRESS"] == "127.0.0.1"
    assert env["PADDLEWHEEL_BROKER_URL"] == BROKER


def test_a_worker_gets_every_address_and_keeps_what_the_operator_set(worker: Worker) -> None:
    launch = worker.launch()
    assert launch.cwd == CHECKOUT
    assert launch.env["PADDLEWHEEL_BROKER_URL"] == BROKER
    assert launch.env["PADDLEWHEEL_BLOB_URL"] == BROKER
    assert launch.env["PADDLEWHEEL_LOG_LEVEL"] == "DEBUG"
    assert "PADDLEWHEEL_DATABASE_URL" not in launch.env


def test_workers_divide_the_cores_unless_the_operator_did(tmp_path: Path) -> None:
    def threads(share: int, inherited: dict[str, str]) -> str:
        worker = Worker(tmp_path, number=1, share=share, servers=Servers(), inherited=inherited)
        return worker.launch().env["PADDLEWHEEL_CPU_THREADS"]

    cores = os.cpu_count() or 1
    assert threads(1, {}) == str(cores)
    assert threads(cores * 2, {}) == "1"
    assert threads(1, {"PADDLEWHEEL_CPU_THREADS": "7"}) == "7"


def test_a_worker_is_ready_when_it_made_its_file_since_its_launch(worker: Worker) -> None:
    file = Path(worker.launch().env["PADDLEWHEEL_READY_FILE"])
    file.write_text("of an earlier run")
    worker.prepare()
    assert not worker.ready(1)
    file.touch()
    assert worker.ready(1)


def test_a_package_that_is_not_installed_is_named_with_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match="run 'make setup'"):
        program("no_such_package_here", "bin/*")
    with pytest.raises(ConfigurationError, match="no server for this platform"):
        program("json", "bin/server")
