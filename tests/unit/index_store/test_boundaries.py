"""What index_store may import, and that every promise of the galleries' page has the test that it names."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MODULES = sorted((ROOT / "index_store").rglob("*.py"))
FORBIDDEN = {"celery", "kombu", "paddle", "paddlex", "tasks", "workers", "gateway", "job_store", "local"}


def imported(path: Path) -> set[str]:
    """The top-level names that a module imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_galleries_know_neither_the_queue_nor_the_models(path: Path) -> None:
    assert not imported(path) & FORBIDDEN


def test_one_module_imports_faiss() -> None:
    assert [path.name for path in MODULES if "faiss" in imported(path)] == ["indexes.py"]


def test_nothing_is_unpickled() -> None:
    assert not [path.name for path in MODULES if imported(path) & {"pickle", "shelve", "marshal"}]


def test_importing_the_package_does_not_load_faiss() -> None:
    code = "import sys, index_store; sys.exit('faiss' in sys.modules or 'sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("package", ["gateway", "admin", "workers", "local"])
def test_sql_stands_only_in_the_packages_that_own_the_tables(package: str) -> None:
    sql = re.compile(r"\b(SELECT\s.+\sFROM|INSERT\s+INTO|DELETE\s+FROM|UPDATE\s+\w+\s+SET)\b", re.DOTALL)
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and sql.search(node.value)
    ]
    assert not found


def test_every_promise_of_the_documentation_names_tests_that_exist() -> None:
    text = (ROOT / "docs" / "explanation" / "galleries.md").read_text(encoding="utf-8")
    promises = re.findall(r"^\d+\. \*\*.*?(?=^\d+\. \*\*|^#)", text, re.MULTILINE | re.DOTALL)
    assert len(promises) >= 15
    defined = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    for promise in promises:
        named = set(re.findall(r"`(test_\w+)`", promise))
        assert named, promise
        assert named <= defined, named - defined
