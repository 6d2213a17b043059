"""The picture that a result describes, as the workers saw it: upright, opaque, with forms filled in."""

import io
import threading
from typing import TYPE_CHECKING, Final

from paddlewheel.errors import (
    ImageCorrupt,
    ImageTooLarge,
    ImageUnsupported,
    PdfCorrupt,
    PdfEncrypted,
    PdfPageNotFound,
    UnsupportedSource,
)
from paddlewheel.pictures.fonts import needs_pictures

if TYPE_CHECKING:
    from PIL.Image import Image

PDF_SCALE: Final = 2.0
"""Pixels a point where a page's size is not known: 144 dots an inch."""

_VISIBLE: Final = 128
_LIGHT: Final = 160
_DARKEST_SHARE: Final = 0.02
"""As in the workers' `images/transparency.py`."""

_PDF_START: Final = b"%PDF-"
_PDF_START_WITHIN: Final = 1024
_PDF_PASSWORD_ERROR: Final = 4

# PDFium keeps global state and must not be entered by two threads.
_pdfium = threading.Lock()


@needs_pictures
def open_picture(
    data: bytes, *, page_index: int | None = None, size: tuple[int, int] | None = None
) -> "Image":
    """Decode an image, or render a page of a PDF; RGB. `size` is the page's width and height in pixels.

    Raises ImageUnsupported, ImageCorrupt, ImageTooLarge, PdfCorrupt, PdfEncrypted, PdfPageNotFound,
    MissingExtra.
    """
    if data.startswith(_PDF_START):
        return _render(data, page_index or 0, size)
    try:
        return _decode(data)
    except ImageUnsupported:
        if _PDF_START not in data[:_PDF_START_WITHIN]:
            raise
        return _render(data, page_index or 0, size)


def open_picture_of_size(
    data: bytes, *, page_index: int | None, size: tuple[int, int], found: str
) -> "Image":
    """The picture that a result speaks of. Raises UnsupportedSource where it is not of `size`.

    `found` says in the error what the result has to do with the picture of that size.
    """
    picture = open_picture(data, page_index=page_index, size=size)
    if picture.size != size:
        raise UnsupportedSource(
            f"The picture is {picture.width} x {picture.height} pixels and {found} {size[0]} x {size[1]}: "
            "it is another picture. Give the right one as image=."
        )
    return picture


def _decode(data: bytes) -> "Image":
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except UnidentifiedImageError as err:
        raise ImageUnsupported() from err
    except Image.DecompressionBombError as err:
        raise ImageTooLarge() from err
    except (OSError, SyntaxError, ValueError) as err:
        raise ImageCorrupt() from err
    return _rgb(ImageOps.exif_transpose(image))


def _rgb(image: "Image") -> "Image":
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda value: value / 256).convert("L").convert("RGB")
    if image.has_transparency_data:
        return _flatten(image.convert("RGBA"))
    return image.convert("RGB")


def _flatten(image: "Image") -> "Image":
    """On white, and on black where the visible pixels are light; the workers choose in the same way."""
    from PIL import Image

    alpha = image.getchannel("A")
    visible = alpha.point(lambda value: 255 * (value >= _VISIBLE))
    counts = image.convert("RGB").convert("L").histogram(visible)
    dark = sum(counts[:_LIGHT]) > _DARKEST_SHARE * sum(counts)
    background = "black" if sum(counts) and not dark else "white"
    flat = Image.new("RGB", image.size, background)
    flat.paste(image, mask=alpha)
    return flat


def _render(data: bytes, page_index: int, size: tuple[int, int] | None) -> "Image":
    import pypdfium2  # type: ignore[import-untyped]

    with _pdfium:
        try:
            with pypdfium2.PdfDocument(data) as document:
                if page_index >= len(document):
                    raise PdfPageNotFound(f"The PDF has {len(document)} pages, none of index {page_index}.")
                document.init_forms()
                page = document[page_index]
                scale = size[0] / page.get_width() if size else PDF_SCALE
                bitmap = page.render(scale=scale)
                picture: Image = bitmap.to_pil().convert("RGB")  # a copy: the bitmap's memory is PDFium's
        except pypdfium2.PdfiumError as err:
            encrypted = getattr(err, "err_code", None) == _PDF_PASSWORD_ERROR
            raise (PdfEncrypted() if encrypted else PdfCorrupt()) from err
    # Rounding may differ by a pixel from the workers'.
    return picture if size in (None, picture.size) else picture.resize(size)
