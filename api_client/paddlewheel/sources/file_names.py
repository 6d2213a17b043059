"""Names of the files that results are saved in: after the input, and never outside the folder asked for."""

import hashlib
import itertools
import re
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

_LONGEST_STEM: Final = 200
"""Bytes; file systems take 255 for a name, and page, kind and suffix are still to come."""

_REMEMBERED: Final = 100_000
"""Names of which a process knows the owner, some 20 MB: a service may save results for years."""

_owners: dict[str, bytes] = {}
_claiming = threading.Lock()


def stem_of(input_path: str | None, *, otherwise: Callable[[], str]) -> str:
    """The input's file name without its suffix; for an image without a name, a digest of `otherwise()`.

    `input_path` is any caller's words, so that only its last part counts, whichever slashes it has.
    """
    name = re.split(r"[/\\]", input_path)[-1] if input_path else ""
    stem = re.sub(r'[\x00-\x1f:*?"<>|]', "_", Path(name).stem).strip()
    if stem in ("", ".", ".."):
        stem = "image_" + hashlib.sha256(otherwise().encode()).hexdigest()[:12]
    return stem.encode()[:_LONGEST_STEM].decode(errors="ignore")


def suffix_of(input_path: str | None, allowed: Collection[str], *, default: str) -> str:
    """The input's suffix if a picture can be saved under it."""
    suffix = Path(input_path or "").suffix
    return suffix if suffix.lower() in allowed else default


def claim_name(folder: Path, stem: str, ending: str, *, owner: str) -> Path:
    """The path of a file for `owner`, and of no other one among the newest 100,000 of this process.

    `photo_res.json` for the first, `photo_2_res.json` for the second, in the order of the calls; the same
    owner gets the same path again.
    """
    digest = hashlib.sha256(owner.encode(errors="replace")).digest()[:16]
    with _claiming:
        for number in itertools.count(1):
            path = folder / f"{stem}{'' if number == 1 else f'_{number}'}{ending}"
            if _owners.setdefault(str(path.absolute()), digest) == digest:
                if len(_owners) > _REMEMBERED:
                    del _owners[next(iter(_owners))]
                return path
    raise AssertionError  # the count has no end


def numbered(path: Path, page_index: int | None) -> Path:
    """`report.json` as `report_3.json` for page 3."""
    return path if page_index is None else path.with_name(f"{path.stem}_{page_index}{path.suffix}")
