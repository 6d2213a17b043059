"""From references to pixels: the loader over a blob store."""

from collections.abc import Iterator

import numpy as np
import pytest

from paddlewheel.blobs.memory import MemoryBlobStore
from paddlewheel.contracts.base import ImageRef
from paddlewheel.errors import (
    BlobNotFound,
    ImageCorrupt,
    ImageEmpty,
    ImageTooLarge,
    ImageTooNarrow,
    ImageUnsupported,
    PdfEncrypted,
    PdfPageNotFound,
    PdfTooManyPages,
)
from tasks.steps import Steps, run_each
from tests.data.pdfs import LOCKED, PdfPage, pdf, rectangle
from tests.data.pictures import chunk, encoded, picture, png_of_zeros
from workers.images.loading import LINE_LIMITS, PAGE_LIMITS, ImageLoader, PageImage
from workers.images.pdf import PdfLimits

THREE_PAGES = pdf(*[PdfPage(drawing=rectangle(0, 0, 200, 100, rgb)) for rgb in ("1 0 0", "0 1 0", "0 0 1")])
BLUE, GREEN, RED = [255, 0, 0], [0, 255, 0], [0, 0, 255]


@pytest.fixture
def blobs() -> MemoryBlobStore:
    return MemoryBlobStore()


@pytest.fixture
def loader(blobs: MemoryBlobStore) -> Iterator[ImageLoader]:
    loader = ImageLoader(blobs, PAGE_LIMITS, PdfLimits(dpi=72, max_pages=3, processes=1))
    yield loader
    loader.close()


def put(blobs: MemoryBlobStore, data: bytes) -> ImageRef:
    return ImageRef(blob=blobs.put(data).blob)


MISSING = ImageRef(blob="sha256:" + "0" * 64)


def corner(page: object) -> list[int]:
    assert isinstance(page, PageImage)
    return [int(each) for each in page.image[0, 0]]


def test_an_image_is_loaded(loader: ImageLoader, blobs: MemoryBlobStore) -> None:
    page = loader.load(put(blobs, encoded("PNG")))
    assert page.page_index is None
    assert np.array_equal(page.image, picture()[:, :, ::-1])


def test_a_page_of_a_pdf_is_loaded(loader: ImageLoader, blobs: MemoryBlobStore) -> None:
    page = loader.load(put(blobs, THREE_PAGES), page_index=1)
    assert page.page_index == 1
    assert corner(page) == GREEN


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", ImageEmpty),
        (b"GIF89a", ImageUnsupported),
        (encoded("JPEG")[:-9], ImageCorrupt),
        (b"%PDF-1.7" + bytes(40_000_000 - 8), ImageTooLarge),
        (LOCKED, PdfEncrypted),
    ],
    ids=["empty", "gif", "cut off", "large pdf", "locked"],
)
def test_what_cannot_be_used_is_a_typed_error(data: bytes, error: type[Exception]) -> None:
    blobs = MemoryBlobStore(max_bytes=50_000_000)
    with pytest.raises(error):
        ImageLoader(blobs).load(put(blobs, data))


def test_a_missing_blob_is_the_stores_error(loader: ImageLoader) -> None:
    with pytest.raises(BlobNotFound):
        loader.load(MISSING)


def test_the_same_strip_is_too_narrow_for_a_line_and_fine_for_a_page(blobs: MemoryBlobStore) -> None:
    ref = put(blobs, png_of_zeros(1920, 48))
    assert ImageLoader(blobs, PAGE_LIMITS).load(ref).image.shape == (48, 1920, 3)
    with pytest.raises(ImageTooNarrow, match=r"ocr\.read"):
        ImageLoader(blobs, LINE_LIMITS).load(ref)


def test_many_are_loaded_in_order_and_fail_one_by_one(loader: ImageLoader, blobs: MemoryBlobStore) -> None:
    png, document = put(blobs, encoded("PNG")), put(blobs, THREE_PAGES)
    refs = [png, MISSING, put(blobs, b""), document, document, document, png, png]
    wanted = zip(refs, [0, 0, 0, 2, 0, 3, 1, 0], strict=True)

    def load(ref: ImageRef, page_index: int) -> Steps[PageImage]:
        yield
        return loader.load(ref, page_index)

    pages = list(run_each(load(*each) for each in wanted))
    assert [type(page) for page in pages] == [
        *(PageImage, BlobNotFound, ImageEmpty, PageImage, PageImage),
        *(PdfPageNotFound, PdfPageNotFound, PageImage),
    ]
    assert corner(pages[3]) == BLUE
    assert corner(pages[4]) == RED


def test_an_image_is_a_document_of_one_page(loader: ImageLoader, blobs: MemoryBlobStore) -> None:
    ref = put(blobs, encoded("PNG"))
    for pages in (None, (0,)):
        with loader.load_pages(ref, pages) as document:
            assert document.page_count == 1
            assert [page.page_index for page in document] == [None]


def test_an_image_has_no_second_page(loader: ImageLoader, blobs: MemoryBlobStore) -> None:
    with pytest.raises(PdfPageNotFound, match="an image has one page"):
        loader.load_pages(put(blobs, encoded("PNG")), (0, 1))


def test_the_pages_of_a_pdf_come_in_the_order_asked_for(loader: ImageLoader, blobs: MemoryBlobStore) -> None:
    ref = put(blobs, THREE_PAGES)
    with loader.load_pages(ref) as document:
        assert document.page_count == 3
        assert [(page.page_index, corner(page)) for page in document] == [(0, RED), (1, GREEN), (2, BLUE)]
    with loader.load_pages(ref, (2, 0)) as document:
        assert document.page_count == 3
        assert [(page.page_index, corner(page)) for page in document] == [(2, BLUE), (0, RED)]


def test_a_pdf_of_too_many_pages_is_read_in_parts(loader: ImageLoader, blobs: MemoryBlobStore) -> None:
    ref = put(blobs, pdf(*[PdfPage()] * 4))
    with pytest.raises(PdfTooManyPages, match="`pages`"):
        loader.load_pages(ref)
    with loader.load_pages(ref, (3,)) as document:
        assert [page.page_index for page in document] == [3]


def test_an_image_that_mentions_a_pdf_is_an_image(loader: ImageLoader, blobs: MemoryBlobStore) -> None:
    data = encoded("PNG")
    data = data[:33] + chunk(b"tEXt", b"Source\0%PDF-1.7") + data[33:]
    assert loader.load(put(blobs, data)).page_index is None


def test_a_pdf_may_begin_a_little_late(loader: ImageLoader, blobs: MemoryBlobStore) -> None:
    assert loader.load(put(blobs, b"\r\n\r\n" + THREE_PAGES)).page_index == 0
