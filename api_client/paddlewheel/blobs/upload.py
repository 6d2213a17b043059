"""Encode what a caller has and store it, a bounded number of images at a time."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from typing import Any

from paddlewheel.blobs.store import BlobStore, StoredBlob
from paddlewheel.contracts.base import ImageRef, Request
from paddlewheel.contracts.checking import check_fields
from paddlewheel.errors import CallerError, InvalidRequest
from paddlewheel.sources.images import EncodedImage, ImageSource, encode, expand_each


def upload_image(blobs: BlobStore, image: ImageSource, name: str | None) -> ImageRef:
    """Encode and store one image; `name` is what results call it. Raises InvalidRequest for a long name."""
    encoded = encode(image)
    stored = blobs.put(encoded.data)
    called = name or encoded.name
    return check_fields(
        ImageRef, {"blob": stored.blob, "input_path": called, "expires_at": stored.expires_at}
    )


def upload_images(blobs: BlobStore, images: Iterable[ImageSource]) -> list[ImageRef]:
    """Encode and store many, a bounded number of bytes at a time. Raises the first error of an image."""
    refs: list[ImageRef] = []
    for each in upload_missing(blobs, [images]):
        if isinstance(each, CallerError):
            raise each
        if isinstance(each, ImageRef):
            refs.append(each)
    return refs


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
    """References and requests as they are, a reference or its CallerError for everything else, in order."""
    kept: list[Any] = []
    for group in _portions(images):
        prepared = [_encoded(image) for image in group]
        stored = iter(_stored(blobs, [each for each in prepared if isinstance(each, EncodedImage)]))
        kept += [next(stored) if isinstance(each, EncodedImage) else each for each in prepared]
    return kept


def _encoded(image: Any) -> Any:
    if isinstance(image, (ImageRef, Request, CallerError)):
        return image
    try:
        return encode(image)
    except CallerError as err:
        return err


def _stored(blobs: BlobStore, images: Sequence[EncodedImage]) -> list[ImageRef | CallerError]:
    """Store all at once; where the store refuses one of them, store each alone to find out which."""
    try:
        stored: Sequence[StoredBlob | CallerError] = blobs.put_many([each.data for each in images])
    except CallerError:
        stored = [_stored_alone(blobs, each) for each in images]
    return [
        blob
        if isinstance(blob, CallerError)
        else ImageRef(blob=blob.blob, input_path=each.name, expires_at=blob.expires_at)
        for each, blob in zip(images, stored, strict=True)
    ]


def _stored_alone(blobs: BlobStore, image: EncodedImage) -> StoredBlob | CallerError:
    try:
        return blobs.put(image.data)
    except CallerError as err:
        return err


def _portions(images: Iterable[Any], size: int = 64) -> Iterator[list[Any]]:
    """Lists and folders expanded, so many images at a time that memory stays bounded."""
    parts = itertools.chain.from_iterable(map(_expanded, images))
    while portion := list(itertools.islice(parts, size)):
        yield portion


def _expanded(image: Any) -> Iterable[Any]:
    return [image] if isinstance(image, (ImageRef, Request)) else expand_each(image)
