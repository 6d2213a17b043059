"""From the addresses of a manifest to what fetches their images."""

import re
from functools import partial
from os import fsdecode
from typing import Final

from paddlewheel.blobs.store import BlobStore
from paddlewheel.contracts.base import ImageRef
from paddlewheel.errors import AddressRefused
from paddlewheel.sources.url_fetcher import UrlFetcher
from workers.batch_jobs.places import WEB, AllowedRoots, BatchFile
from workers.images.prefetch import Source

BLOB: Final = re.compile(r"sha256:[0-9a-f]{64}")


class Inputs:
    """`most` is how many bytes an image may have; without `urls` web addresses are refused."""

    def __init__(self, roots: AllowedRoots, blobs: BlobStore, urls: UrlFetcher | None, most: int) -> None:
        self._roots = roots
        self._blobs = blobs
        self._urls = urls
        self._most = most

    def source(self, address: bytes, manifest: BatchFile) -> Source:
        """What fetches the image of an address; it is looked at when it is fetched."""
        return partial(self._fetch, fsdecode(address), manifest)

    def _fetch(self, address: str, manifest: BatchFile) -> bytes:
        if BLOB.fullmatch(address):
            return self._blobs.get(ImageRef(blob=address))
        if address.partition("://")[0].lower() in WEB:
            if self._urls is None:
                raise AddressRefused("Web addresses are not fetched here: an operator has to allow them.")
            return self._urls.fetch(address)
        # One byte more than may be: the limits of images refuse it with the right words.
        return self._roots.place(address, manifest).read(self._most)
