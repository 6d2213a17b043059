"""The reference says what the code does: writing it again changes nothing."""

from pathlib import Path

import pytest

from docs.generate.pages import DOCS, write_pages

PAGES = write_pages()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_writing_the_reference_again_changes_nothing(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == PAGES[path], "Run `make reference` and commit what it writes."
