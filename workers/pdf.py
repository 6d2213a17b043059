"""The pages of a PDF as images, one at a time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any, Self

import numpy as np
import pypdfium2  # type: ignore[import-untyped]

from api_client.errors import PdfCorrupt, PdfEncrypted, PdfPageNotFound, PdfTooManyPages
from workers.image_limits import Image, ImageLimits

POINTS_PER_INCH = 72.0
PASSWORD_NEEDED = 4
"""FPDF_ERR_PASSWORD of pdfium's public header."""

# pdfium keeps global state without any lock of its own: two threads inside it crash the process, whatever
# documents they work on. All calls of the process go through this one lock.
_PDFIUM = threading.Lock()


@dataclass(frozen=True, kw_only=True, slots=True)
class PdfLimits:
    """`dpi` is lowered for a page that would have too many pixels; `max_pages` is for one task."""

    dpi: float = 144.0
    max_pages: int = 50


PDF_LIMITS = PdfLimits()


class PdfDocument:
    """An open PDF. Close it: pdfium's memory is not Python's, and its finalizers would not take the lock.

    Raises PdfEncrypted, PdfCorrupt.
    """

    def __init__(self, data: bytes, *, limits: ImageLimits, pdf_limits: PdfLimits) -> None:
        self._limits = limits
        self._pdf_limits = pdf_limits
        with _PDFIUM:
            self._document = _open(data)
            self.page_count: int = len(self._document)

    def chosen(self, pages: tuple[int, ...] | None) -> tuple[int, ...]:
        """The page indices to read. Raises PdfPageNotFound, PdfTooManyPages."""
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
        """The page as it is shown, rotation applied, forms filled in, on white.

        Raises PdfPageNotFound, PdfCorrupt, ImageTooNarrow, ImageTooSmall.
        """
        self._check_index(index)
        with _PDFIUM, _page(self._document, index) as page:
            scale = self._scale(*page.get_size())
            bitmap = page.render(scale=scale)
            try:
                return np.array(bitmap.to_numpy(), order="C")
            finally:
                bitmap.close()

    def _scale(self, width: float, height: float) -> float:
        """Pixels a point, within the limits: a page of 200 inches would need gigabytes at any fair dpi."""
        limits = self._limits
        scale = min(
            self._pdf_limits.dpi / POINTS_PER_INCH,
            limits.max_side / max(width, height),
            sqrt(limits.max_pixels / (width * height)),
        )
        while ceil(width * scale) * ceil(height * scale) > limits.max_pixels:
            scale *= 0.99
        limits.check_size(ceil(width * scale), ceil(height * scale))
        return scale

    def _check_index(self, index: int) -> None:
        if not 0 <= index < self.page_count:
            raise PdfPageNotFound(
                f"Page {index} is asked for; the PDF has {self.page_count} pages, counted from 0."
            )

    def close(self) -> None:
        """Free the document; a second call does nothing."""
        with _PDFIUM:
            self._document.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open(data: bytes) -> Any:
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as err:
        if err.err_code == PASSWORD_NEEDED:
            raise PdfEncrypted from err
        raise PdfCorrupt from err
    document.init_forms()
    return document


@contextmanager
def _page(document: Any, index: int) -> Iterator[Any]:
    try:
        page = document[index]
    except pypdfium2.PdfiumError as err:
        raise PdfCorrupt(f"Page {index} of the PDF is damaged.") from err
    try:
        yield page
    except pypdfium2.PdfiumError as err:
        raise PdfCorrupt(f"Page {index} of the PDF cannot be drawn.") from err
    finally:
        page.close()
