"""The text files that PaddleX's users keep: `gallery.txt` (image and label), labels, `remove_ids.txt`."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from paddlewheel.errors import LabelListInvalid


@dataclass(frozen=True, kw_only=True)
class ListedImage:
    """One line of `gallery.txt`: the image's path under the gallery's root, and its label."""

    path: Path
    label: str
    line: int


def read_gallery_list(file: Path, root: Path) -> tuple[ListedImage, ...]:
    """The lines `path label`, where the label may hold spaces; raises LabelListInvalid with the line.

    A tab separates where there is one. Otherwise the path ends at the first space that leaves an existing
    file, so that paths may hold spaces too. PaddleX splits at every space and refuses both.
    """
    return tuple(_labelled(file, number, line, root) for number, line in _lines(file))


def read_labels(file: Path) -> tuple[str, ...]:
    """The labels, one a line, for a list of images that is given apart from them."""
    return tuple(line for _, line in _lines(file))


def read_remove_ids(file: Path) -> tuple[int, ...]:
    """The ids, one in front of each line; the rest of a line is ignored, as PaddleX does."""
    ids = []
    for number, line in _lines(file):
        first = line.split()[0]
        try:
            ids.append(int(first))
        except ValueError as err:
            raise LabelListInvalid(f"{file.name}, line {number}: {first[:50]!r} is not an id.") from err
    return tuple(ids)


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as err:
        raise LabelListInvalid(f"{file} cannot be read: {err.strerror}.") from err
    except UnicodeDecodeError as err:
        number = err.object[: err.start].count(b"\n") + 1
        raise LabelListInvalid(f"{file.name}, line {number}: not UTF-8.") from err
    except ValueError as err:
        raise LabelListInvalid(f"{str(file)!r} cannot be read: no file can have that name.") from err
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.strip()


def _labelled(file: Path, number: int, line: str, root: Path) -> ListedImage:
    for path, label in _splits(line):
        if _inside(root, path) and os.path.isfile(root / path):  # noqa: PTH113  False for a name too long
            return ListedImage(path=root / path, label=label, line=number)
    first, _, label = line.partition("\t" if "\t" in line else " ")
    if not label.strip():
        raise LabelListInvalid(f"{file.name}, line {number}: no label after {first[:80]!r}.")
    if not _inside(root, first):
        raise LabelListInvalid(f"{file.name}, line {number}: {first[:80]!r} is not under {root}.")
    raise LabelListInvalid(f"{file.name}, line {number}: there is no image {first[:80]!r} under {root}.")


def _splits(line: str) -> Iterator[tuple[str, str]]:
    separator = "\t" if "\t" in line else " "
    end = line.find(separator)
    while end != -1:
        label = line[end:].strip()
        if label:
            yield line[:end].strip(), label
        end = line.find(separator, end + 1)


def _inside(root: Path, path: str) -> bool:
    return "\0" not in path and (root / path).resolve().is_relative_to(root.resolve())
