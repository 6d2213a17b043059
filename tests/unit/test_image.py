"""The Dockerfile and the compose file, as far as they can be checked without an engine."""

import ast
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from database.locks import LockName, gallery_lock
from gateway.settings import GatewaySettings
from local.servers import Servers
from workers.settings import WorkerSettings

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SERVERS = ("valkey", "postgres")
OURS = ("worker", "worker-index", "worker-gpu", "gateway", "flower")
QUEUES = WorkerSettings.model_fields["queues"].default
SECRETS = {"VALKEY_PASSWORD": "a1", "POSTGRES_PASSWORD": "b2", "FLOWER_PASSWORD": "c3"}
KNOWN_KEYS = {
    "build", "cap_drop", "command", "depends_on", "deploy", "environment", "healthcheck", "image", "ports",
    "profiles", "read_only", "restart", "security_opt", "stop_grace_period", "tmpfs", "user", "volumes",
}  # fmt: skip


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, continuation lines joined."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    lines = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(name, rest) for name, rest in lines]


def last_stage() -> dict[str, list[str]]:
    stage: dict[str, list[str]] = {}
    for name, rest in instructions():
        stage = {} if name == "FROM" else stage
        stage.setdefault(name, []).append(rest)
    return stage


def known_variables() -> set[str]:
    names = {
        *WorkerSettings.model_fields,
        *GatewaySettings.model_fields,
        *(each.name for each in fields(Servers)),
    }
    return {f"PADDLEWHEEL_{name.upper()}" for name in names}


def runs_as_module(command: list[str]) -> str:
    """The module of `python -m MODULE`."""
    assert command[:2] == ["python", "-m"], command
    return command[2]


def test_stages_build_on_tagged_images_or_on_each_other() -> None:
    stages: set[str] = set()
    for name, rest in instructions():
        if name != "FROM":
            continue
        image, _, stage = rest.partition(" AS ")
        assert image in stages or re.search(r":\d[\w.-]+$", image) or image == "packages-${VARIANT}", image
        stages.add(stage)
    assert {"packages-cpu", "packages-gpu"} <= stages


def test_the_image_does_not_run_as_root_and_is_asked_for_its_health() -> None:
    stage = last_stage()
    assert int(stage["USER"][-1].split(":")[0]) > 0
    assert "HEALTHCHECK" in stage
    (command,) = stage["CMD"]
    assert importlib.util.find_spec(runs_as_module(json.loads(command))) is not None


def test_the_health_check_asks_for_the_files_that_the_worker_keeps() -> None:
    stage = last_stage()
    environment = " ".join(stage["ENV"])
    assert "PADDLEWHEEL_READY_FILE=/tmp/" in environment
    assert "PADDLEWHEEL_LIVE_FILE=/tmp/" in environment
    (check,) = stage["HEALTHCHECK"]
    assert check.endswith('CMD ["python", "-m", "workers.health"]')


def test_the_image_holds_all_of_our_code_but_the_local_servers() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = set(project["tool"]["importlinter"]["root_packages"]) - {"local"}
    copied = [line.split() for line in last_stage()["COPY"] if not line.startswith("--from")]
    assert {target for _, target in copied} == packages
    assert all(Path(source).name == target for source, target in copied)


def test_files_copied_into_the_image_exist_and_are_not_ignored() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name, rest in instructions():
        if name == "COPY" and not rest.startswith("--from"):
            source = rest.split()[0]
            assert (ROOT / source).exists()
            assert source in allowed


def test_packages_are_installed_by_their_hashes() -> None:
    assert ("COPY", "requirements/worker.txt /build/worker.txt") in instructions()
    installs = [rest for name, rest in instructions() if name == "RUN" and "pip install" in rest]
    assert installs[0].endswith("pip install --require-hashes --requirement /build/worker.txt")


def test_every_variable_that_image_and_compose_set_is_a_setting() -> None:
    named = set(re.findall(r"\bPADDLEWHEEL_[A-Z_]+(?==)", "\n".join(last_stage()["ENV"])))
    for service in SERVICES.values():
        named |= {name for name in service.get("environment", {}) if name.startswith("PADDLEWHEEL_")}
    assert "PADDLEWHEEL_BROKER_URL" in named
    assert named <= known_variables()


def test_the_stack_is_the_whole_system() -> None:
    assert set(SERVICES) == {*SERVERS, *OURS}
    assert [name for name, service in SERVICES.items() if "profiles" in service] == ["worker-gpu"]
    assert SERVICES["worker-gpu"]["profiles"] == ["gpu"]
    assert {key for service in SERVICES.values() for key in service} <= KNOWN_KEYS


def test_every_queue_has_a_worker_on_the_cpu_and_models_may_have_a_gpu() -> None:
    served = {
        name: tuple(service["environment"]["PADDLEWHEEL_QUEUES"].split(","))
        for name, service in SERVICES.items()
        if name.startswith("worker")
    }
    assert served["worker-gpu"] == served["worker"]
    on_the_cpu = (*served["worker"], *served["worker-index"])
    assert sorted(on_the_cpu) == sorted(QUEUES)
    assert (
        WorkerSettings.model_validate({"broker_url": "redis://valkey", "queues": on_the_cpu}).queues
        == on_the_cpu
    )


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_guarded_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "build" in service or (
        service["user"] not in ("root", "0") and re.search(r":\d", service["image"])
    )


@pytest.mark.parametrize("name", ["valkey", "postgres", "gateway", "flower"])
def test_a_server_is_asked_for_its_health(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert check["retries"] > 0


@pytest.mark.parametrize("name", OURS)
def test_a_service_that_needs_a_server_waits_for_its_health(name: str) -> None:
    needed = SERVICES[name]["depends_on"]
    assert {server: each["condition"] for server, each in needed.items()} == {
        "valkey": "service_healthy",
        "postgres": "service_healthy",
    }
    assert all("healthcheck" in SERVICES[server] for server in needed)


def test_only_the_gateway_and_flower_are_reached_from_outside() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "valkey": ["127.0.0.1:6379:6379"],
        "gateway": ["${OUTSIDE_ADDRESS:-0.0.0.0}:8080:8080"],
        "flower": ["${OUTSIDE_ADDRESS:-0.0.0.0}:5555:5555"],
    }
    assert not any("network_mode" in service for service in SERVICES.values())


def test_nobody_asks_the_gateway_without_a_key() -> None:
    named = SERVICES["gateway"]["environment"]
    assert "PADDLEWHEEL_GATEWAY_ANONYMOUS_SCOPES" not in named
    assert GatewaySettings.model_fields["gateway_anonymous_scopes"].default == ()
    assert named["PADDLEWHEEL_GATEWAY_HOST"] == "0.0.0.0"  # noqa: S104 - within its container


def test_the_gateway_counts_as_healthy_when_it_could_answer_requests() -> None:
    command = SERVICES["gateway"]["healthcheck"]["test"]
    address = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", command[-1])
    assert address is not None
    port = GatewaySettings.model_fields["gateway_port"].default
    assert (int(address[1]), address[2]) == (port, "/ready")


@pytest.mark.parametrize("name", [*OURS, "image"])
def test_what_a_service_and_its_health_check_run_exists(name: str) -> None:
    """An own command, else the image's; a check runs a module of the checkout, or code that compiles."""
    service = SERVICES.get(name, {})
    stage = last_stage()
    check = json.loads(stage["HEALTHCHECK"][0].split("CMD", 1)[1])
    commands = [service.get("command") or json.loads(stage["CMD"][0])]
    commands.append(service["healthcheck"]["test"][1:] if "healthcheck" in service else check)
    for command in commands:
        if command[:2] == ["python", "-c"]:
            tree = ast.parse(command[2])
            named = [
                alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
            ]
            assert named
        else:
            named = [runs_as_module(command)]
        for module in named:
            assert importlib.util.find_spec(module) is not None, command


def test_what_has_to_be_one_has_a_lock_of_its_own() -> None:
    """That one works at a time, the tests of the sweeper, the scheduler and the sealer say."""
    galleries = range(gallery_lock(0), gallery_lock(1 << 40))
    assert len(set(LockName)) == len(LockName.__members__)
    assert not any(int(name) in galleries for name in LockName)  # a range scans for other types


def test_no_password_is_written_down_and_none_is_optional() -> None:
    for match in re.finditer(r"(PASSWORD|BASIC_AUTH)\w*: (.+)", COMPOSE_TEXT):
        assert "${" in match[2], match[0]
    for match in re.finditer(r"://[^:/\s\"]*:([^@\"]+)@", COMPOSE_TEXT):
        assert match[1].startswith(("${", "$VALKEY_PASSWORD")), match[0]
    required = set(re.findall(r"\$\{(\w+):\?[^}]+\}", COMPOSE_TEXT))
    assert required == set(SECRETS)
    asked_for = set(re.findall(r"\$\{(\w+)", COMPOSE_TEXT))
    assert asked_for == required | {"PADDLE_GPU_INDEX", "OUTSIDE_ADDRESS", "WEBHOOK_SECRET"}
    example = (ROOT / ".env.example").read_text()
    assert set(re.findall(r"^(\w+)=$", example, re.MULTILINE)) == asked_for


def test_no_password_becomes_an_argument() -> None:
    for service in SERVICES.values():
        assert "${" not in json.dumps([service.get("command"), service.get("healthcheck")])


def test_the_gateway_runs_its_module() -> None:
    assert importlib.util.find_spec(runs_as_module(SERVICES["gateway"]["command"])) is not None


def test_flower_runs_the_workers_app() -> None:
    command = SERVICES["flower"]["command"]
    assert importlib.util.find_spec(runs_as_module(command)) is not None
    assert importlib.util.find_spec(command[command.index("--app") + 1]) is not None
    assert SERVICES["flower"]["environment"]["FLOWER_BASIC_AUTH"]


def test_data_lives_in_volumes_that_are_declared() -> None:
    mounted = {each.split(":")[0] for service in SERVICES.values() for each in service.get("volumes", [])}
    assert (
        mounted
        == set(COMPOSE["volumes"])
        == {
            "valkey-data",
            "postgres-data",
            "gallery-data",
            "batch-data",
        }
    )
    assert not any(SERVICES[name]["volumes"] for name in ("gateway", "flower"))


def test_valkey_keeps_everything_and_evicts_nothing() -> None:
    script = SERVICES["valkey"]["command"][-1]
    settings = dict(line.split(maxsplit=1) for line in script.splitlines()[1:-1])
    assert settings["appendonly"] == "yes"
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["requirepass"] == "$$VALKEY_PASSWORD"
    assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0


def test_docker_reads_the_compose_file() -> None:
    docker = shutil.which("docker")
    if (
        not docker
        or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("docker compose is not installed here")
    command = shlex.join([docker, "compose", "--profile", "gpu", "config", "--quiet"])
    done = subprocess.run(
        shlex.split(command), cwd=ROOT, env=SECRETS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
