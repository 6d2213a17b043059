"""The published distribution and the lock files agree with what the code imports."""

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = {
    "dev.txt": ("dev",),
    "client.txt": (),
    "client-test.txt": ("client-test",),
    "worker.txt": ("worker", "flower"),
}
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(\[.*\])?==(?P<version>\S+)", re.MULTILINE)


def text(lock: str) -> str:
    return (ROOT / "requirements" / lock).read_text()


def pins(lock: str) -> dict[str, set[str]]:
    """The locked versions by name; more than one where markers choose."""
    found: dict[str, set[str]] = {}
    for match in PIN.finditer(text(lock)):
        found.setdefault(canonicalize_name(match["name"]), set()).add(match["version"])
    return found


def asked_for(groups: Iterable[str], extras: Iterable[str] = ()) -> Iterator[Requirement]:
    """What pyproject.toml asks for directly: the client's dependencies, these extras and these groups."""
    project = PROJECT["project"]
    yield from map(Requirement, project["dependencies"])
    for extra in extras:
        yield from map(Requirement, project["optional-dependencies"][extra])
    for group in groups:
        for each in PROJECT["dependency-groups"][group]:
            if isinstance(each, str):
                yield Requirement(each)
            else:
                yield from asked_for([each["include-group"]])


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_carries_its_hashes(lock: str) -> None:
    entries = re.split(r"\n(?=\S)", text(lock).strip())
    assert len(entries) == sum(len(versions) for versions in pins(lock).values()) > 0
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_names_no_address_and_no_index(lock: str) -> None:
    assert re.findall(r"://|--(?:extra-)?index|--find-links|--trusted| @ ", text(lock)) == []


@pytest.mark.parametrize(("lock", "groups"), LOCKS.items())
def test_a_lock_file_satisfies_the_project(lock: str, groups: tuple[str, ...]) -> None:
    locked = pins(lock)
    extras = PROJECT["project"]["optional-dependencies"] if lock == "client-test.txt" else ()
    for requirement in asked_for(groups, extras):
        versions = locked.get(canonicalize_name(requirement.name), set())
        assert versions, f"{requirement} is missing: run 'make lock'"
        assert all(requirement.specifier.contains(version) for version in versions), (
            f"{requirement}: make lock"
        )


def test_a_package_has_the_same_version_in_every_lock_file() -> None:
    everything = pins("dev.txt")
    for lock in LOCKS:
        assert {name: everything.get(name) for name in pins(lock)} == pins(lock), f"{lock}: run 'make lock'"


def test_the_client_brings_nothing_that_its_dependencies_do_not_need() -> None:
    needed: set[str] = set()
    waiting = [Requirement(each) for each in PROJECT["project"]["dependencies"]]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in needed:
            continue
        needed.add(name)
        try:
            further = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another version of Python or another system
        waiting += [each for each in map(Requirement, further) if "extra" not in str(each.marker)]
    assert set(pins("client.txt")) <= needed


def test_only_the_client_is_published() -> None:
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"] == {"packages": ["api_client/paddlewheel"]}
    names = {requirement.name for requirement in asked_for(())}
    assert names == {"click", "pydantic", "redis", "rich"}


def imported_by(package: str) -> set[str]:
    """The top-level names that a package of ours imports, lazily too."""
    names: set[str] = set()
    for file in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names


@cache
def distributions() -> dict[str, set[str]]:
    found = importlib.metadata.packages_distributions()
    return {name: {canonicalize_name(each) for each in owners} for name, owners in found.items()}


def missing_from(lock: str, packages: Iterable[str]) -> set[str]:
    """What the packages import and the lock file does not bring."""
    ours = set(PROJECT["tool"]["importlinter"]["root_packages"])
    imported = set().union(*map(imported_by, packages)) - ours - sys.stdlib_module_names
    locked = set(pins(lock))
    return {name for name in imported if not distributions().get(name, set()) & locked}


def test_the_client_s_lock_file_and_extras_bring_everything_that_it_imports() -> None:
    assert missing_from("client-test.txt", ["paddlewheel"]) == set()


def test_the_image_s_lock_file_brings_everything_that_its_code_imports() -> None:
    shipped = set(PROJECT["tool"]["importlinter"]["root_packages"]) - {"local"}
    assert missing_from("worker.txt", shipped) == set()


def test_the_development_lock_file_brings_everything_that_code_and_tests_import() -> None:
    # The benchmarks also run what they compare with, in environments of its own.
    packages = [*PROJECT["tool"]["importlinter"]["root_packages"], "tests"]
    assert missing_from("dev.txt", packages) - {"tests", "benchmarks", "docs"} == set()


def test_make_alone_explains_every_target() -> None:
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    alone = {"PATH": os.environ["PATH"]}  # nothing of a make that may be running the tests
    shown = subprocess.run(["make"], cwd=ROOT, env=alone, capture_output=True, text=True, check=True).stdout
    explained = dict(line.split(maxsplit=2)[1:] for line in shown.splitlines())
    assert set(explained) == set(phony[1].split())
    assert all(explained.values())


def test_the_gate_is_a_program_that_bash_can_read() -> None:
    gate = ROOT / ".ci/run"
    assert gate.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", gate], check=False).returncode == 0
