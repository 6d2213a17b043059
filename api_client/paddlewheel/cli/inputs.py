"""From the paths on the command line to the images of a run."""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Final

from paddlewheel.contracts.base import ImageRef
from paddlewheel.errors import ImageEmpty, PaddlewheelError, UnsupportedSource
from paddlewheel.sources.file_names import stem_of
from paddlewheel.sources.images import expand_each, is_folder

STDIN: Final = "-"
STDIN_NAME: Final = "stdin"
_BLOB: Final = re.compile(r"sha256:[0-9a-f]{64}\Z")


@dataclass(frozen=True, kw_only=True)
class Input:
    """One image of a run; `source` is the error where it could not even be found.

    `folder` is where its files go below the folder that results are saved in.
    """

    name: str
    source: str | Path | bytes | ImageRef | PaddlewheelError
    folder: Path = Path()


def collect(paths: Iterable[str], *, pdf: bool) -> list[Input]:
    """Every image that the paths name, in their order; a folder's images sorted."""
    found = [each for path in paths for each in _inputs_of(path, pdf=pdf)]
    return _apart(found)


def _inputs_of(path: str, *, pdf: bool) -> Iterator[Input]:
    if path == STDIN:
        yield Input(name=STDIN_NAME, source=_piped())
    elif _BLOB.match(path):
        yield Input(name=path, source=ImageRef(blob=path))
    elif is_folder(path):
        for file in expand_each(path, pdf=pdf):
            if isinstance(file, PaddlewheelError):
                yield Input(name=path, source=file)
            else:
                yield Input(name=str(file), source=file, folder=file.parent.relative_to(path))
    else:
        yield Input(name=path, source=path)


def _piped() -> bytes | PaddlewheelError:
    if sys.stdin is None or sys.stdin.isatty():
        return UnsupportedSource("'-' reads an image from standard input: pipe one in.")
    try:
        return sys.stdin.buffer.read() or ImageEmpty("Standard input had no bytes.")
    except (OSError, ValueError) as err:
        why = getattr(err, "strerror", None) or type(err).__name__
        return UnsupportedSource(f"Standard input cannot be read: {why}. Pipe an image in.")


def _apart(inputs: list[Input]) -> list[Input]:
    """Inputs whose files would have the same names get folders of their own, called after their paths."""

    def place(each: Input) -> tuple[Path, str]:
        return each.folder, stem_of(each.name, otherwise=str)

    times = Counter(place(each) for each in inputs)
    return [replace(each, folder=_below(each.name)) if times[place(each)] > 1 else each for each in inputs]


def _below(name: str) -> Path:
    parts = [part for part in PurePath(name).parts if part not in (PurePath(name).anchor, "..", ".")]
    return Path(*parts)
