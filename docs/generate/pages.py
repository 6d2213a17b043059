"""Which pages are written from the code, and the tables that stand inside pages written by hand."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from docs.generate.commands import write_commands
from docs.generate.contracts import write_results, write_summary, write_tasks
from docs.generate.errors import write_errors
from docs.generate.http_operations import write_http
from docs.generate.python_api import write_python
from docs.generate.settings import write_settings

DOCS: Final = Path(__file__).parents[1]

PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "reference/tasks.md": write_tasks,
    "reference/results.md": write_results,
    "reference/errors.md": write_errors,
    "reference/settings.md": write_settings,
    "reference/http.md": write_http,
    "reference/command-line.md": write_commands,
    "reference/python.md": write_python,
}
"""Whole pages."""

TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "how-to/enqueue-from-another-language.md": write_summary,
}
"""Pages with one table between BEGIN and END."""

BEGIN: Final = "<!-- written by `make reference` -->\n"
END: Final = "\n<!-- end -->"


def write_pages() -> dict[Path, str]:
    """The text of every page that the code decides, by its path."""
    pages = {DOCS / name: write() for name, write in PAGES.items()}
    for name, write in TABLES.items():
        before, notice, rest = (DOCS / name).read_text(encoding="utf-8").partition(BEGIN)
        pages[DOCS / name] = before + notice + write() + rest[rest.index(END) :]
    return pages
