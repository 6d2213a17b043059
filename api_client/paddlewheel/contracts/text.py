"""Text: reading the lines of pages, and recognizing lines that are cut out already.

Field names and methods are those that PaddleX's users know.
"""

from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from paddlewheel.contracts.base import ImageRef, Many, ModelName, Outcomes, Request, TaskSpec, bulk_of
from paddlewheel.contracts.results import Result
from paddlewheel.sources.file_names import numbered
from paddlewheel.sources.images import IMAGE_SUFFIXES, ImageSource, encode

if TYPE_CHECKING:
    from PIL.Image import Image


class RecognizeText(Request):
    """One text line in one image. For a PDF, `page_index` (from 0) says which page holds the line."""

    image: ImageRef
    model: ModelName | None = None
    page_index: int = Field(default=0, ge=0)


class ReadPages(Request):
    """Every text line on a page, or on the pages of a PDF.

    `pages` are indices from 0; None means all of them, up to the worker's limit. `min_score` drops lines
    that the recognizer is less sure of. `orientation` turns lines that stand upside down.
    """

    image: ImageRef
    detection_model: ModelName | None = None
    recognition_model: ModelName | None = None
    orientation: bool = True
    pages: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    min_score: float = Field(default=0.5, ge=0, le=1)


class RecognizedText(Result):
    """One text line. `rec_score` is the mean probability of its characters, 0 for an empty text."""

    rec_text: str
    rec_score: float

    def draw(self, image: ImageSource | None = None) -> "Image":
        """The line above, its text and score below."""
        from paddlewheel.pictures.captions import draw_line

        return draw_line(self, self._picture(image))


class Page(Result):
    """The lines of one page, in reading order; the five tuples run in parallel.

    `dt_polys` are four corners (x, y) in pixels of the upright page, clockwise from the text's top left;
    `dt_scores` are the detector's; `angles` are 0 or 180, how far a line had to be turned.
    """

    picture_name: ClassVar[str] = "ocr_res_img"

    width: int
    height: int
    dt_polys: tuple[tuple[tuple[float, float], ...], ...]
    dt_scores: tuple[float, ...]
    rec_texts: tuple[str, ...]
    rec_scores: tuple[float, ...]
    angles: tuple[int, ...]

    @property
    def text(self) -> str:
        """The lines, one below the other."""
        return "\n".join(self.rec_texts)

    def draw(self, image: ImageSource | None = None) -> "Image":
        """The page with its lines marked on the left, their texts in the same places on the right."""
        from paddlewheel.pictures.pages import draw_page

        return draw_page(self, self._picture(image))

    def _res(self) -> dict[str, Any]:
        """PaddleX's names: what it calls `rec_polys` are here the same lines as `dt_polys`."""
        res = self.model_dump(mode="json", exclude={"served", "angles"})
        res["textline_orientation_angles"] = [angle // 180 for angle in self.angles]
        res["rec_polys"] = res["dt_polys"]
        res["rec_boxes"] = [_box(polygon) for polygon in self.dt_polys]
        return res


class ReadDocument(BaseModel):
    """The pages of one input: one for an image, one for each page of a PDF that was asked for.

    Iterating gives the pages, and each method acts on each page.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    input_path: str | None = None
    page_count: int
    pages: tuple[Page, ...]

    def __iter__(self) -> Iterator[Page]:  # type: ignore[override]  # pydantic's gives fields
        return iter(self.pages)

    @property
    def text(self) -> str:
        """The texts of the pages, with an empty line between two."""
        return "\n\n".join(page.text for page in self.pages)

    @property
    def json(self) -> list[dict[str, Any]]:  # type: ignore[override]  # as of Result
        """The `json` of each page."""
        return [page.json for page in self.pages]

    @property
    def img(self) -> list[dict[str, "Image"]]:
        """The `img` of each page."""
        return [page.img for page in self.pages]

    def print(self, format_json: bool = True, indent: int = 4, ensure_ascii: bool = False) -> None:
        """Print each page."""
        for page in self.pages:
            page.print(format_json, indent, ensure_ascii)

    def save_to_json(
        self, save_path: str | PathLike[str], indent: int = 4, ensure_ascii: bool = False
    ) -> list[Path]:
        """Write a file a page. Several pages given one file's name are numbered by their page index."""
        return [
            page.save_to_json(path, indent, ensure_ascii) for page, path in self._paths(save_path, {".json"})
        ]

    def save_to_img(self, save_path: str | PathLike[str], *, image: ImageSource | None = None) -> list[Path]:
        """Write a picture a page. Several pages given one file's name are numbered by their page index."""
        source = None if image is None else encode(image).data
        return [page.save_to_img(path, image=source) for page, path in self._paths(save_path, IMAGE_SUFFIXES)]

    def bind_picture(self, load: Callable[[], bytes]) -> None:
        """As of Result, for each page."""
        for page in self.pages:
            page.bind_picture(load)

    def _paths(
        self, save_path: str | PathLike[str], suffixes: "frozenset[str] | set[str]"
    ) -> Iterator[tuple[Page, Path]]:
        path = Path(save_path)
        one_file = path.suffix.lower() in suffixes
        for page in self.pages:
            if one_file and len(self.pages) > 1:
                yield page, numbered(path, page.page_index)
            else:
                yield page, path


def _box(polygon: tuple[tuple[float, float], ...]) -> list[int]:
    """The upright box around a polygon: left, top, right, bottom in whole pixels."""
    xs, ys = [x for x, _ in polygon], [y for _, y in polygon]
    return [round(min(xs)), round(min(ys)), round(max(xs)), round(max(ys))]


RECOGNIZE_TEXT = TaskSpec(name="ocr.recognize", queue="gpu", request=RecognizeText, result=RecognizedText)
READ_PAGES = TaskSpec(name="ocr.read", queue="gpu", request=ReadPages, result=ReadDocument)

RecognizeTexts: TypeAlias = Many[RecognizeText]
"""Many text lines in one message."""

RecognizedTexts: TypeAlias = Outcomes[RecognizedText]
"""The outcomes of `RecognizeTexts`, in the order of its items."""

RECOGNIZE_TEXTS = bulk_of(RECOGNIZE_TEXT)
