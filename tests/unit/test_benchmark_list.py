"""The benchmarks' README lists every module."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__main__")


@pytest.mark.parametrize("module", MODULES)
def test_a_module_of_the_benchmarks_is_listed(module: str) -> None:
    assert f"`{module}`" in PAGE or f"`python -m benchmarks.{module}`" in PAGE
