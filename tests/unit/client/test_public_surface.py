"""What the package offers, and that importing it costs little."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import api_client

MODULES = sorted(
    module.name for module in pkgutil.walk_packages(api_client.__path__, prefix=f"{api_client.__name__}.")
)
HEAVY = ("numpy", "PIL", "paddle", "cv2", "celery", "kombu", "pypdfium2", "fsspec")


def test_the_package_has_its_modules() -> None:
    assert {"api_client.cli", "api_client.client", "api_client.errors", "api_client.testing"} <= set(MODULES)


@pytest.mark.parametrize("name", ["api_client", *MODULES])
def test_what_a_module_offers_is_sorted_and_exists(name: str) -> None:
    module = importlib.import_module(name)
    offered = getattr(module, "__all__", [])
    assert len(offered) == len(set(offered))
    assert [each for each in offered if not hasattr(module, each)] == []
    constants = sorted(each for each in offered if each.isupper())
    others = sorted(each for each in offered if not each.isupper())
    assert list(offered) == constants + others


def test_what_the_package_imports_it_offers() -> None:
    tree = ast.parse(Path(api_client.__file__ or "").read_text("utf-8"))
    imported = [
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert set(imported) <= set(api_client.__all__)


def imported_by(code: str) -> set[str]:
    listing = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{listing}"], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "name", ["api_client", "api_client.testing", "api_client.drawing", "api_client.fonts"]
)
def test_importing_takes_nothing_that_is_not_needed_yet(name: str) -> None:
    assert imported_by(f"import {name}") & {*HEAVY, "redis", "rich", "click"} == set()


def test_the_command_line_loads_rich_and_redis_only_when_they_are_used() -> None:
    code = "from api_client.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    assert imported_by(code) & {*HEAVY, "redis", "rich"} == set()
