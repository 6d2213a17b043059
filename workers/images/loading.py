"""From a stored blob to pixels: nothing is decoded before the header has passed every guard.

Pixels are those of `cv2.imread(path)`, which the models were trained with: BGR with 8 bits, 16 bits scaled
down. Transparent pixels are put on a background (`transparency`) and EXIF orientation is applied once, here,
for every format.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np
from cv2.typing import MatLike

from paddlewheel.blobs.store import BlobStore
from paddlewheel.contracts.base import ImageRef
from paddlewheel.errors import ImageCorrupt, PaddlewheelError, PdfPageNotFound, WorkerOverloaded
from workers.images.formats import is_pdf, read_header
from workers.images.header import ImageHeader, truncation_error
from workers.images.limits import LINE_LIMITS, PAGE_LIMITS, Image, ImageLimits
from workers.images.pdf import PDF_LIMITS, PdfDocument, PdfLimits, PdfReader
from workers.images.transparency import flatten

__all__ = [
    "LINE_LIMITS",
    "PAGE_LIMITS",
    "Document",
    "Image",
    "ImageLimits",
    "ImageLoader",
    "PageImage",
    "decode",
]

AS_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
END_OF_JPEG = b"\xff\xd9"
FILLER = b"\x5a\xa5" * 512
"""Bytes that a decoder reads as coded pixels while it expects more."""

TURNS: dict[int, Callable[[Image], MatLike]] = {
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: cv2.transpose,
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.flip(cv2.transpose(image), -1),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
"""What makes an image of that EXIF orientation upright; 1 is upright already."""

# OpenCV writes a line to the worker's output for every damaged image that a caller sends.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def decode(data: bytes, limits: ImageLimits) -> Image:
    """The pixels of a JPEG, PNG, WebP or BMP image.

    Raises ImageEmpty, ImageUnsupported, ImageCorrupt, ImageAnimated, ImageTooLarge, ImageTooSmall,
    ImageTooNarrow.
    """
    limits.check_bytes(data)
    header = read_header(data)
    limits.check_size(header.width, header.height)
    return _upright(_pixels(data, header), header.orientation)


def _pixels(data: bytes, header: ImageHeader) -> Image:
    if not header.ended:
        return _pixels_without_end(data)
    image = _imdecode(data, cv2.IMREAD_UNCHANGED if header.alpha else AS_STORED)
    if image is None or image.shape[:2] != (header.height, header.width):
        raise ImageCorrupt(f"The {header.format} image is damaged: its pixels cannot be decoded.")
    if header.alpha and image.ndim == 3 and image.shape[2] == 4:
        return flatten(image)
    if image.ndim != 3 or image.dtype != np.uint8:  # OpenCV saw no alpha after all
        return _pixels(data, replace(header, alpha=False))
    return np.asarray(image, np.uint8)


def _pixels_without_end(data: bytes) -> Image:
    """The pixels of a JPEG that lacks its end marker alone. Raises ImageCorrupt where pixels are missing too.

    Decoders fill in what is missing from the bytes that follow: whole pixels do not depend on these.
    """
    scans = data.rstrip(b"\xff")  # half of the end marker
    first, second = (_imdecode(scans + tail + END_OF_JPEG, AS_STORED) for tail in (b"", FILLER))
    if first is None or second is None or not np.array_equal(first, second):
        raise truncation_error("JPEG")
    return np.asarray(first, np.uint8)


def _imdecode(data: bytes, flags: int) -> MatLike | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as err:
        if err.code == cv2.Error.StsNoMem:
            raise WorkerOverloaded("The worker has no memory left to decode the image.") from err
        return None


def _upright(image: Image, orientation: int) -> Image:
    turn = TURNS.get(orientation)
    return image if turn is None else np.asarray(turn(image), np.uint8)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PageImage:
    """One page; `page_index` is None for an image."""

    page_index: int | None
    image: Image


class Document:
    """The pages of one input in the order asked for, each drawn when it is reached. Use it with `with`."""

    def __init__(self, page_count: int, pages: Iterator[PageImage], pdf: PdfDocument | None = None) -> None:
        self.page_count = page_count
        self._pages = pages
        self._pdf = pdf

    def __iter__(self) -> Iterator[PageImage]:
        return self._pages

    def close(self) -> None:
        """Free the PDF; a second call does nothing."""
        if self._pdf is not None:
            self._pdf.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ImageLoader:
    """Fetches stored images and decodes them within the limits of one use. Many threads may share it."""

    def __init__(
        self, blobs: BlobStore, limits: ImageLimits = PAGE_LIMITS, pdf_limits: PdfLimits = PDF_LIMITS
    ) -> None:
        self._blobs = blobs
        self._limits = limits
        self._pdfs = PdfReader(pdf_limits)

    def load(self, ref: ImageRef, page_index: int = 0) -> PageImage:
        """One image, or one page of a PDF. Raises BlobError, ImageError, PdfError."""
        return self._decode(self._blobs.get(ref), page_index)

    def load_pages(self, ref: ImageRef, pages: tuple[int, ...] | None = None) -> Document:
        """All pages, or those of the indices `pages`; an image is a document of one page.

        Raises BlobError, ImageError, PdfError; drawing a page of a PDF raises PdfCorrupt or an ImageError.
        """
        data = self._blobs.get(ref)
        if not is_pdf(data):
            chosen = (0,) if pages is None else pages
            _check_only_page(chosen)
            return Document(1, iter([self._decode(data, 0)] * len(chosen)))
        pdf = self._open_pdf(data)
        try:
            drawn = (PageImage(page_index=i, image=pdf.render(i)) for i in pdf.select_pages(pages))
        except PaddlewheelError:
            pdf.close()
            raise
        return Document(pdf.page_count, drawn, pdf)

    def _decode(self, data: bytes, page_index: int) -> PageImage:
        if is_pdf(data):
            with self._open_pdf(data) as pdf:
                return PageImage(page_index=page_index, image=pdf.render(page_index))
        _check_only_page((page_index,))
        return PageImage(page_index=None, image=decode(data, self._limits))

    def _open_pdf(self, data: bytes) -> PdfDocument:
        self._limits.check_bytes(data)
        return self._pdfs.open(data, self._limits)

    def close(self) -> None:
        """End the processes that draw PDFs, if any were needed."""
        self._pdfs.close()


def _check_only_page(pages: Sequence[int]) -> None:
    for index in pages:
        if index != 0:
            raise PdfPageNotFound(f"Page {index} is asked for; an image has one page, of index 0.")
