"""Encode what a caller has and store it, a bounded number of images at a time."""

from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from typing import Any

from paddlewheel.blobs.store import BlobStore
from paddlewheel.contracts.base import ImageRef, Request
from paddlewheel.errors import InvalidRequest
from paddlewheel.sources.images import ImageSource, encode, expand


def upload_image(blobs: BlobStore, image: ImageSource, name: str | None) -> ImageRef:
    """Encode and store one image; `name` is what results call it."""
    encoded = encode(image)
    stored = blobs.put(encoded.data)
    return ImageRef(blob=stored.blob, input_path=name or encoded.name, expires_at=stored.expires_at)


def upload_images(blobs: BlobStore, images: Iterable[ImageSource]) -> list[ImageRef]:
    """Encode and store many, a bounded number of bytes at a time."""
    return [ref for ref in upload_missing(blobs, expand(images)) if isinstance(ref, ImageRef)]


def require_many(images: Any) -> None:
    """Raise InvalidRequest for one image where many are wanted: many of these can be iterated over, too.

    An array of four dimensions is many (images x rows x columns x channels), and so is one of paths.
    """
    single = isinstance(images, (str, bytes, bytearray, memoryview, PathLike, Mapping, ImageRef, Request))
    stream_or_picture = hasattr(images, "read") or hasattr(images, "tobytes")
    stack = len(getattr(images, "shape", ())) == 4 or _holds_names(images)
    if single or (stream_or_picture and not stack) or not isinstance(images, Iterable):
        raise InvalidRequest(
            f"Many images are wanted, and {type(images).__name__} is one thing: put it into a list, or "
            "enqueue it alone with enqueue()."
        )


def _holds_names(images: Any) -> bool:
    """Whether this is numpy's array of strings or objects, such as a column of a table."""
    return getattr(getattr(images, "dtype", None), "kind", "") in ("O", "U", "T")


def upload_missing(blobs: BlobStore, images: Iterable[Any]) -> list[Any]:
    """References and requests as they are, and a reference for everything else, in order."""
    kept: list[Any] = []
    for group in _portions(images):
        encoded = [encode(image) for image in group if not isinstance(image, (ImageRef, Request))]
        stored = iter(zip(encoded, blobs.put_many([each.data for each in encoded]), strict=True))
        for image in group:
            if isinstance(image, (ImageRef, Request)):
                kept.append(image)
            else:
                each, blob = next(stored)
                kept.append(ImageRef(blob=blob.blob, input_path=each.name, expires_at=blob.expires_at))
    return kept


def _portions(images: Iterable[Any], size: int = 64) -> Iterator[list[Any]]:
    """Lists and folders expanded, so many images at a time that memory stays bounded."""
    portion: list[Any] = []
    for image in images:
        parts = [image] if isinstance(image, (ImageRef, Request)) else expand([image])
        for part in parts:
            portion.append(part)
            if len(portion) == size:
                yield portion
                portion = []
    if portion:
        yield portion
