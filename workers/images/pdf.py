"""The pages of a PDF as images, one at a time, drawn in processes that may be killed (`pdf_process`)."""

import itertools
from dataclasses import dataclass
from typing import Any, Self

from paddlewheel.errors import PdfCorrupt, PdfEncrypted, PdfError, PdfPageNotFound, PdfTooManyPages
from workers.images.limits import Image, ImageLimits
from workers.images.pdf_process import PdfProcess


@dataclass(frozen=True, kw_only=True, slots=True)
class PdfLimits:
    """`dpi` is lowered for a page that would have too many pixels; `max_pages` is for one task.

    Each of `processes` draws one page at a time, in at most `max_seconds` and `max_memory` bytes.
    """

    dpi: float = 144.0
    max_pages: int = 50
    max_seconds: float = 20.0
    max_memory: int = 2_000_000_000
    processes: int = 2


PDF_LIMITS = PdfLimits()


class PdfReader:
    """Opens PDFs. Its processes start with the first one and end with it, or with `close`."""

    def __init__(self, limits: PdfLimits = PDF_LIMITS) -> None:
        self._limits = limits
        self._processes = [
            PdfProcess(max_seconds=limits.max_seconds, max_memory=limits.max_memory)
            for _ in range(limits.processes)
        ]
        self._next = itertools.cycle(self._processes)

    def open(self, data: bytes, limits: ImageLimits) -> "PdfDocument":
        """A document whose pages are drawn within `limits`. Raises PdfEncrypted, PdfCorrupt."""
        return PdfDocument(data, limits, self._limits, next(self._next))

    def close(self) -> None:
        """End the processes; a later `open` starts them again."""
        for process in self._processes:
            process.end()


class PdfDocument:
    """An open PDF. Close it: the memory that it takes is in another process."""

    _numbers = itertools.count()

    def __init__(self, data: bytes, limits: ImageLimits, pdf_limits: PdfLimits, process: PdfProcess) -> None:
        self._data = data
        self._limits = limits
        self._pdf_limits = pdf_limits
        self._process = process
        self._number = next(self._numbers)
        self._generation = 0
        with process.exclusive():
            self.page_count: int = self._open()["pages"]

    def select_pages(self, pages: tuple[int, ...] | None) -> tuple[int, ...]:
        """The page indices to read, None being all. Raises PdfPageNotFound, PdfTooManyPages."""
        chosen = tuple(range(self.page_count)) if pages is None else pages
        for index in chosen:
            self._check_index(index)
        if len(chosen) > self._pdf_limits.max_pages:
            raise PdfTooManyPages(
                f"{len(chosen):,} pages of the PDF are asked for and one task takes "
                f"{self._pdf_limits.max_pages}: name fewer in `pages`."
            )
        return chosen

    def render(self, index: int) -> Image:
        """The page as it is shown: turned upright, forms filled in, on white.

        Raises PdfPageNotFound, PdfCorrupt, ImageTooNarrow, ImageTooSmall.
        """
        self._check_index(index)
        request = {
            "do": "render",
            "document": self._number,
            "page": index,
            "dpi": self._pdf_limits.dpi,
            "max_side": self._limits.max_side,
            "max_pixels": self._limits.max_pixels,
        }
        with self._process.exclusive():
            if self._generation != self._process.generation:
                self._open()  # another document ended the process
            _, image = self._process.request_image(request)
        if image is None:
            raise PdfCorrupt(f"Page {index} of the PDF is damaged: it cannot be drawn.")
        self._limits.check_size(image.shape[1], image.shape[0])
        return image

    def _open(self) -> dict[str, Any]:
        request = {"do": "open", "document": self._number, "size": len(self._data)}
        reply = self._process.request(request, self._data)
        if "error" in reply:
            raise _error(reply)
        self._generation = self._process.generation
        return reply

    def _check_index(self, index: int) -> None:
        if not 0 <= index < self.page_count:
            raise PdfPageNotFound(
                f"Page {index} is asked for; the PDF has {self.page_count} pages, counted from 0."
            )

    def close(self) -> None:
        """Free the document; a second call does nothing."""
        if self._generation == self._process.generation:
            self._process.close_document(self._number)
        self._generation = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _error(reply: dict[str, Any]) -> PdfError:
    match reply["error"]:
        case "encrypted":
            return PdfEncrypted()
        case "no_pages":
            return PdfCorrupt("The PDF has no pages.")
        case _:
            return PdfCorrupt()
