"""The Python samples of the README and of the documentation.

A comment before a sample says what else it needs: `<!-- needs: PIL, server -->`. `server` means servers or
packages that the client does not bring; type checkers check such a sample, and no test runs it. `checkout`
marks parts of this project's own files, which no caller writes: `tests/unit/tasks/test_adding_a_task.py`
compares them with code that it runs.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

_BLOCK: Final = re.compile(
    r"^(?:<!-- needs: (?P<needs>[^\n]*) -->\n)?```python\n(?P<code>.*?)^```", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One block of Python: `name` is that of its page and its number there."""

    name: str
    page: Path
    needs: frozenset[str]
    code: str


def find_samples() -> list[Sample]:
    """Every sample for callers, page by page."""
    return [
        Sample(
            name=f"{_module_name(page)}_{number}",
            page=page,
            needs=frozenset((match["needs"] or "").replace(",", " ").split()),
            code=match["code"],
        )
        for page in PAGES
        for number, match in enumerate(_BLOCK.finditer(page.read_text("utf-8")), start=1)
        if match["needs"] != "checkout"
    ]


def _module_name(page: Path) -> str:
    return "_".join(page.relative_to(ROOT).with_suffix("").parts).lower().replace("-", "_")
