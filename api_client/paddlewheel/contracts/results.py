"""What a task answers, with the field names and the methods that PaddleX's users know.

`json` holds exactly PaddleX's fields under "res"; how the answer came about is beside them, under "served".
A saved JSON file holds the fields alone, as PaddleX's does, and is named after the input:
`photo_res.json`, or for a page of a PDF `report_0_res.json`.
"""

import json as json_format
from abc import abstractmethod
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from paddlewheel.errors import BlobExpired, BlobNotFound, UnsupportedSource
from paddlewheel.sources.file_names import claim_name, stem_of, suffix_of
from paddlewheel.sources.images import IMAGE_SUFFIXES, ImageSource, encode

if TYPE_CHECKING:
    from PIL.Image import Image


class Served(BaseModel):
    """How an answer came about: which model on which engine, and where the time went (milliseconds).

    `queue_ms` is from enqueue to the worker's start and compares two machines' clocks; `batch_wait_ms` is
    the wait for companions; `model_ms` is the model's time for the whole batch of `batch_size` items.
    For a page, these are of its recognition and the largest of its lines.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    model: str
    engine: str
    device: str
    queue_ms: float | None = None
    batch_wait_ms: float = 0.0
    batch_size: int = 0
    model_ms: float = 0.0
    total_ms: float = 0.0

    @classmethod
    def unknown(cls) -> "Served":
        """The note of a result that no worker made: every name is empty."""
        return cls(model="", engine="", device="")

    @property
    def known(self) -> bool:
        """Whether a worker made the result."""
        return self.model != ""


def _read_note(value: Any) -> Any:
    return Served.unknown() if value is None else value


def _write_note(note: Served | None) -> Served | None:
    return note if note is not None and note.known else None  # None is the default in the JSON schema


ServedNote = Annotated[
    Served,
    BeforeValidator(_read_note, json_schema_input_type=Served | None),
    PlainSerializer(_write_note, return_type=Served | None),
]
"""How a result was served: null in JSON, and `Served.unknown()` in Python, where no worker made it."""


class Result(BaseModel):
    """The result of one image or page: it prints, and saves itself as JSON or as a picture.

    `input_path` is the caller's own name for the image; `page_index` is None for an image, counted from 0
    for a PDF.
    """

    # A slot and not a private attribute: pydantic compares those, and two equal results would differ.
    __slots__ = ("_load_picture",)

    model_config = ConfigDict(frozen=True, extra="ignore")
    picture_name: ClassVar[str] = "res"

    input_path: str | None = None
    page_index: int | None = None
    served: ServedNote = Field(default=None, validate_default=True)

    @property
    def json(self) -> dict[str, Any]:  # type: ignore[override]  # PaddleX's name; pydantic's is deprecated
        """`{"res": ...}` in plain types, with "served" beside it in a worker's result."""
        served = {"served": self.served.model_dump(mode="json")} if self.served.known else {}
        return {"res": self._res(), **served}

    @property
    def img(self) -> dict[str, "Image"]:
        """The drawn picture under PaddleX's name for it. Raises as `draw` does."""
        return {self.picture_name: self.draw()}

    def print(self, format_json: bool = True, indent: int = 4, ensure_ascii: bool = False) -> None:
        """Print `json`: indented, or with `format_json=False` as one line of Python."""
        print(_dumps(self.json, indent, ensure_ascii) if format_json else self.json)

    def save_to_json(
        self, save_path: str | PathLike[str], indent: int = 4, ensure_ascii: bool = False
    ) -> Path:
        """Write the fields to a `.json` file, or into a folder under the input's name; the file's path.

        In a folder, other results of the same name are numbered: `photo_res.json`, `photo_2_res.json`.
        """
        path = Path(save_path)
        if path.suffix.lower() != ".json":
            path = claim_name(path, self._stem(), "_res.json", owner=self._owner())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_dumps(self._res(), indent, ensure_ascii) + "\n", encoding="utf-8")
        return path

    def save_to_img(self, save_path: str | PathLike[str], *, image: ImageSource | None = None) -> Path:
        """Write the drawn picture to an image file, or into a folder under the input's name; its path.

        `image` is the picture to draw on, as for `draw`. Raises as `draw` does.
        """
        path = Path(save_path)
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            suffix = suffix_of(self.input_path, IMAGE_SUFFIXES, default=".png")
            ending = f"_{self.picture_name}{suffix}"
            path = claim_name(path, self._stem(), ending, owner=self._owner())
        drawn = self.draw(image)
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn.save(path, quality=92)
        return path

    @abstractmethod
    def draw(self, image: ImageSource | None = None) -> "Image":
        """The result and its picture side by side, as a PIL image. Needs the extra `pictures`.

        Drawn on is `image`, else the bytes that the client stored, else the local file that `input_path`
        names. Raises UnsupportedSource where there is none of them or it is another picture, MissingExtra,
        ImageError, PdfError.
        """

    def bind_picture(self, load: Callable[[], bytes]) -> None:
        """Where the picture's bytes come from, should somebody ask for a drawing; the client calls this."""
        object.__setattr__(self, "_load_picture", load)

    def _res(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude={"served"})

    def _owner(self) -> str:
        return f"{type(self).__name__} {self.model_dump_json(exclude={'served'})}"

    def _stem(self) -> str:
        stem = stem_of(self.input_path, otherwise=self.model_dump_json)
        return stem if self.page_index is None else f"{stem}_{self.page_index}"

    def _picture(self, image: ImageSource | None) -> bytes:
        if image is not None:
            return encode(image).data
        load = getattr(self, "_load_picture", None)
        local = self.input_path is not None and Path(self.input_path).is_file()
        if load is not None:
            try:
                return bytes(load())
            except (BlobExpired, BlobNotFound):
                if not local:
                    raise
        if local and self.input_path is not None:
            return encode(self.input_path).data
        raise UnsupportedSource(
            "There is no picture to draw on: pass it as image=, draw a result that a client returned, or "
            "keep the file where input_path names it."
        )


def _dumps(value: Any, indent: int, ensure_ascii: bool) -> str:
    return json_format.dumps(value, indent=indent, ensure_ascii=ensure_ascii)
