"""Models that make embeddings, and which of them a gallery belongs to.

A gallery's fingerprint is its kind, the model's name, and the start of a digest of the model's files:
`images/PP-ShiTuV2_rec@0f3a...`. For faces it also says how a face is cut out, because embeddings of aligned
faces and of boxes are not compared: `faces/MobileFaceNet@77c0.../aligned`.
"""

import re
from dataclasses import dataclass
from hashlib import file_digest, sha256
from typing import Final

from paddlewheel.contracts.galleries import GalleryKind
from paddlewheel.errors import ModelMismatch
from workers.models.families.image_feature import ImageFeature
from workers.models.file_names import CONFIG
from workers.models.home.directory import ModelDirectory

_DIGITS: Final = 16
_FINGERPRINT: Final = re.compile(r"(faces|images)/([^/@]+)@[0-9a-f]+(?:/[a-z]+)?\Z")


@dataclass(frozen=True, kw_only=True)
class Embedder:
    """A model of features, with the digest of its files."""

    model: ImageFeature
    digest: str

    @property
    def name(self) -> str:
        """What it is served as."""
        return self.model.name

    @property
    def side(self) -> int:
        """Pixels of its square input."""
        return self.model.warmup_shapes[0][0][-1]

    def fingerprint(self, kind: GalleryKind, way: str | None = None) -> str:
        """What a gallery of its embeddings is bound to; `way` is how faces are cut out."""
        base = f"{kind}/{self.name}@{self.digest}"
        return base if way is None else f"{base}/{way}"


@dataclass(frozen=True, kw_only=True)
class GalleryModel:
    """The kind and the model that a gallery's fingerprint names."""

    kind: GalleryKind
    model: str


def bound_to(fingerprint: str | None) -> GalleryModel | None:
    """The model that made a gallery's vectors; None where it is unknown."""
    found = _FINGERPRINT.match(fingerprint or "")
    if found is None:
        return None
    return GalleryModel(kind="faces" if found[1] == "faces" else "images", model=found[2])


def model_for(fingerprint: str | None, kind: GalleryKind, asked: str | None) -> str | None:
    """The name of the model that fits a gallery; None means the worker's default.

    Raises ModelMismatch where the gallery is of another kind or of another model than the one asked for.
    """
    bound = bound_to(fingerprint)
    if bound is None:
        return asked
    if bound.kind != kind:
        raise ModelMismatch(f"It is a gallery of {bound.kind} and not of {kind}.")
    if asked is not None and asked != bound.model:
        raise ModelMismatch(f"The gallery holds embeddings of {bound.model}, and {asked} is asked for.")
    return bound.model


def files_digest(directory: ModelDirectory, *, flip: bool = False) -> str:
    """A digest of everything that decides a model's answers: its config, its weights, and `flip`."""
    total = sha256(b"flip" if flip else b"")
    for path in (directory.path / CONFIG, directory.graph, directory.params, directory.onnx):
        if path is not None:
            with path.open("rb") as file:
                total.update(file_digest(file, "sha256").digest())
    return total.hexdigest()[:_DIGITS]
