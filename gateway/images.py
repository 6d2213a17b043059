"""Images in HTTP requests: base64, an address, a stored blob, or an uploaded file."""

import asyncio
import base64
import binascii
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from paddlewheel.async_client import AsyncClient
from paddlewheel.contracts.base import BlobAddress, ImageRef
from paddlewheel.errors import BlobTooLarge, ImageEmpty, InvalidRequest, UrlRefused
from paddlewheel.sources.url_fetcher import UrlFetcher

FETCHES: Final = 8
"""Threads that fetch images. They are separate, so that slow servers do not delay other work."""


class HttpImage(BaseModel):
    """One image: exactly one of `base64`, `url` and `blob`."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"examples": [{"blob": "sha256:" + "0" * 64, "input_path": "page.png"}]},
    )

    base64: str | None = Field(None, description="The bytes of an image file or PDF, base64.")
    url: str | None = Field(
        None, max_length=4096, description="An https address, if the operator allows them."
    )
    blob: BlobAddress | None = Field(None, description="The address of a stored image.")
    input_path: str | None = Field(
        None, max_length=512, description="Your name for the image, returned with the result."
    )

    @model_validator(mode="after")
    def _one(self) -> "HttpImage":
        if sum(given is not None for given in (self.base64, self.url, self.blob)) != 1:
            raise ValueError("give exactly one of base64, url and blob")
        return self


class ImageUploads:
    """Stores the images of requests and returns references. `fetcher` is None when URLs are disabled."""

    def __init__(self, client: AsyncClient, fetcher: UrlFetcher | None, max_bytes: int) -> None:
        self._client = client
        self._fetcher = fetcher
        self._max_bytes = max_bytes
        self._threads = ThreadPoolExecutor(FETCHES, thread_name_prefix="fetch")

    def close(self) -> None:
        """Stop fetching."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def store(self, image: HttpImage) -> ImageRef:
        """Store one image. Raises UrlError, BlobTooLarge, ImageEmpty, InvalidRequest."""
        if image.blob is not None:
            return ImageRef(blob=image.blob, input_path=image.input_path)
        if image.url is not None:
            return await self.put(await self.fetch(image.url), image.input_path)
        return await self.put(self.decode(image.base64 or ""), image.input_path)

    async def store_text(self, text: str) -> ImageRef:
        """Store an image in PaddleX's form: a string that is an http(s) address, or else base64."""
        if text.startswith(("http://", "https://")):
            return await self.put(await self.fetch(text), None)
        return await self.put(self.decode(text), None)

    async def store_texts(self, texts: Sequence[str]) -> list[ImageRef]:
        """Store several images in PaddleX's form; references keep the order."""
        return list(await asyncio.gather(*(self.store_text(text) for text in texts)))

    async def put(self, data: bytes, name: str | None) -> ImageRef:
        """Store the bytes of an image file. Raises ImageEmpty, BlobTooLarge."""
        if not data:
            raise ImageEmpty("The image has no bytes.")
        if len(data) > self._max_bytes:
            raise BlobTooLarge(f"The image has {len(data)} bytes: {self._max_bytes} are allowed.")
        return await self._client.put(data, name=name)

    async def fetch(self, url: str) -> bytes:
        """Fetch an address. Raises UrlRefused while URLs are disabled."""
        if self._fetcher is None:
            raise UrlRefused("Images are not fetched by address here: send their bytes.")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._fetcher.fetch, url)

    def decode(self, text: str) -> bytes:
        """Decode base64, with or without a data URL's prefix. Whitespace is ignored."""
        if text.startswith("data:"):
            text = text.partition(",")[2]
        if len(text) > self._max_bytes * 3 // 2:
            raise BlobTooLarge(f"The image has more than {self._max_bytes} bytes.")
        try:
            return base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError) as err:
            raise InvalidRequest("The image is neither an https address nor base64.") from err
