"""What the package offers, and that importing it costs little."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import paddlewheel

MODULES = sorted(
    module.name for module in pkgutil.walk_packages(paddlewheel.__path__, prefix=f"{paddlewheel.__name__}.")
)
HEAVY = ("numpy", "PIL", "paddle", "cv2", "celery", "kombu", "pypdfium2", "fsspec")


def test_the_package_has_its_modules() -> None:
    assert {"paddlewheel.cli", "paddlewheel.client", "paddlewheel.errors", "paddlewheel.in_memory"} <= set(
        MODULES
    )


@pytest.mark.parametrize("name", ["paddlewheel", *MODULES])
def test_what_a_module_offers_is_sorted_and_exists(name: str) -> None:
    module = importlib.import_module(name)
    offered = getattr(module, "__all__", [])
    assert len(offered) == len(set(offered))
    assert [each for each in offered if not hasattr(module, each)] == []
    constants = sorted(each for each in offered if each.isupper())
    others = sorted(each for each in offered if not each.isupper())
    assert list(offered) == constants + others


def test_what_the_package_imports_it_offers() -> None:
    tree = ast.parse(Path(paddlewheel.__file__ or "").read_text("utf-8"))
    imported = [
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert set(imported) <= set(paddlewheel.__all__)


def imported_by(code: str) -> set[str]:
    listing = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{listing}"], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "name",
    ["paddlewheel", "paddlewheel.in_memory", "paddlewheel.pictures.pages", "paddlewheel.pictures.fonts"],
)
def test_importing_takes_nothing_that_is_not_needed_yet(name: str) -> None:
    assert imported_by(f"import {name}") & {*HEAVY, "redis", "rich", "click"} == set()


def test_the_command_line_loads_rich_and_redis_only_when_they_are_used() -> None:
    code = "from paddlewheel.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    assert imported_by(code) & {*HEAVY, "redis", "rich"} == set()
