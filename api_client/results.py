"""What a task answers, with the field names and the methods that PaddleX's users know."""

from pydantic import BaseModel, ConfigDict


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


class Result(BaseModel):
    """A result that prints, and saves itself as JSON or as a picture."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class RecognizedText(Result):
    """One text line. `rec_score` is the mean probability of its characters, 0 for an empty text."""

    input_path: str | None = None
    page_index: int | None = None
    rec_text: str
    rec_score: float
    served: Served | None = None


class Page(Result):
    """The lines of one page, in reading order; the five tuples run in parallel.

    `dt_polys` are four corners (x, y) in pixels of the upright page, clockwise from the text's top left;
    `dt_scores` are the detector's; `angles` are 0 or 180, how far a line had to be turned.
    `page_index` is None for an image, counted from 0 for a PDF.
    """

    input_path: str | None = None
    page_index: int | None = None
    width: int
    height: int
    dt_polys: tuple[tuple[tuple[float, float], ...], ...]
    dt_scores: tuple[float, ...]
    rec_texts: tuple[str, ...]
    rec_scores: tuple[float, ...]
    angles: tuple[int, ...]
    served: Served | None = None


class ReadDocument(Result):
    """The pages of one input: one for an image, one for each page of a PDF that was asked for."""

    input_path: str | None = None
    page_count: int
    pages: tuple[Page, ...]
