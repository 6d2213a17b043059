"""Source files that the documentation names exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "CONTRIBUTING.md",
    ROOT / "index_store" / "README.md",
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page.name != "add-a-task.md"),
]
PLACES = (ROOT, ROOT / "api_client" / "paddlewheel", ROOT / "job_store", ROOT / "workers" / "batch_jobs")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_source_files_that_a_page_names_exist(page: Path) -> None:
    places = (*PLACES, page.parent, ROOT / "workers" / "inference")
    named = re.findall(r"`([\w/]+\.(?:py|yml|toml))`", page.read_text(encoding="utf-8"))
    missing = {
        name
        for name in named
        if name != "inference.yml" and not any((place / name).is_file() for place in places)
    }
    assert not missing
