"""Pictures as users sent them, with the text that they expect, where the checkout has a shared/ beside it."""

import json
from pathlib import Path
from typing import Final

from local.checkout import CHECKOUT

FOLDER: Final = CHECKOUT.parent / "shared" / "cases" / "vision"
_LABELS: Final = Path(__file__).with_name("shared_cases.json")
"""Lines in reading order by file name; null where they are in the text file beside the picture."""


def shared_cases() -> list[tuple[Path, tuple[str, ...], bool]]:
    """The files that are there, their lines in reading order, and whether they are compared by words."""
    labels: dict[str, list[str] | None] = json.loads(_LABELS.read_text())
    paths = [path for name in labels if (path := FOLDER / name).is_file()]
    return [
        (path, tuple(labels[path.name] or _lines_beside(path)), path.name.startswith("table"))
        for path in paths
    ]


def _lines_beside(path: Path) -> list[str]:
    return path.with_suffix(".txt").read_text().splitlines()
