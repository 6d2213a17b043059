"""MkDocs' hooks: pages that live outside of docs/ join the site, and links to source files become text."""

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
OUTSIDE: Final = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "benchmarks/README.md",
    "benchmarks/results/*",
)

_LINK: Final = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s:]+?)(#[^)\s]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages and plots that are kept with what they describe."""
    from mkdocs.structure.files import File

    for path in _outside():
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:  # noqa: ARG001
    """Point links at where their targets are on the site."""
    source = PurePosixPath(page.file.src_uri)
    real = PurePosixPath(str(source)) if _is_outside(str(source)) else PurePosixPath("docs") / source

    def replace(match: re.Match[str]) -> str:
        picture, text, target, anchor = match[1], match[2], match[3], match[4] or ""
        place = _site_path(os.path.normpath(real.parent / target))
        if place is None:
            return f"{picture}{text}" if not picture else match[0]
        return f"{picture}[{text}]({os.path.relpath(place, source.parent)}{anchor})"

    return _LINK.sub(replace, markdown)


def _site_path(path: str) -> str | None:
    """Where a file of the repository is on the site; None for a source file, which is not there."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if _is_outside(path):
        return path
    return None if (ROOT / path).exists() else path


def _outside() -> list[Path]:
    return sorted(path for pattern in OUTSIDE for path in ROOT.glob(pattern))


def _is_outside(path: str) -> bool:
    return ROOT / path in _outside()
