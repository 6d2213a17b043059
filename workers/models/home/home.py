"""The model home: the directories that models are opened from by name."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from paddlewheel.errors import ModelUnknown
from workers.models.file_names import CONFIG
from workers.models.home.directory import ModelDirectory


class ModelHome:
    """The models of one folder, each in a directory of its name, and those mapped to another place.

    A name is only ever looked up among these; it is never joined to a path, so it cannot lead elsewhere.
    """

    def __init__(self, path: Path, directories: Mapping[str, Path] | None = None) -> None:
        """`directories` are models elsewhere, by name; they come before those of the home."""
        self.path = path
        self._directories = dict(directories or {})

    def names(self) -> tuple[str, ...]:
        """Every model that can be opened, sorted."""
        return tuple(sorted(self._known()))

    def find(self, name: str) -> Path | None:
        """Where the model of that name is, if it is here."""
        return self._known().get(name)

    def open(self, name: str) -> ModelDirectory:
        """The model of that name. Raises ModelUnknown, or ModelUnavailable when files are missing.

        Its name is the one it is known by here: a fine-tuned model's config often has that of its parent.
        """
        known = self._known()
        if name not in known:
            have = ", ".join(sorted(known)) or "none"
            raise ModelUnknown(f"There is no model {name[:80]!r} here; there are: {have}.{_how_to_get(name)}")
        return replace(ModelDirectory.open(known[name]), name=name)

    def _known(self) -> dict[str, Path]:
        found = self.path.iterdir() if self.path.is_dir() else ()
        here = {entry.name: entry for entry in found if (entry / CONFIG).is_file() and entry.name[0] != "."}
        return here | self._directories


def named_directories(text: str) -> dict[str, Path]:
    """Models elsewhere, from `name=path,name=path`. Raises ValueError with a sentence."""
    directories: dict[str, Path] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, path = (piece.strip() for piece in part.partition("="))
        if not (name and equals and path):
            raise ValueError(f"{part!r} does not name a model directory: write name=/path/to/it.")
        if name in directories:
            raise ValueError(f"The model {name!r} is given two directories: name it once.")
        directories[name] = Path(path)
    return directories


def _how_to_get(name: str) -> str:
    from workers.models.home.cards import model_cards  # the catalog is needed for this sentence only

    return f" 'paddlewheel models pull {name}' brings it." if name in model_cards() else ""
