"""Large galleries, step by step: many small tasks that may each be repeated.

Images are stored and enqueued a step at a time, so that neither memory nor the blob store holds them all,
and so that a lost worker costs one step. The whole may be repeated with the same operation id and the same
images: what is done already is only answered again.
"""

import os
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from paddlewheel.async_client import AsyncClient
from paddlewheel.client import Client
from paddlewheel.contracts.base import ImageRef, ItemError, Priority
from paddlewheel.contracts.checking import check_fields
from paddlewheel.contracts.galleries import (
    APPEND_GALLERY,
    BUILD_GALLERY,
    AddedImages,
    AppendGallery,
    BuildGallery,
    GalleryKind,
    ImageOutcome,
    LabelledImage,
)
from paddlewheel.errors import (
    CallerError,
    InvalidRequest,
    LabelListInvalid,
    PaddlewheelError,
    UnsupportedSource,
)
from paddlewheel.pending import AsyncPending
from paddlewheel.sources.images import expand, is_folder
from paddlewheel.sources.label_list import read_gallery_list, read_labels

STEP: Final = 32
"""Images in one task."""

LIST_NAME: Final = "gallery.txt"
_STEPS_OUT: Final = 16

Labelled: TypeAlias = tuple[Any, str]
"""An image, as it can be put or as a reference, and its label."""

Progress: TypeAlias = Callable[[int, int], object]
"""Called with how many images are done, and how many there are."""


@dataclass(frozen=True, kw_only=True)
class GalleryReport:
    """What became of each image, in the order given."""

    gallery: str
    operation_id: str
    outcomes: tuple[ImageOutcome, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many images ended in each status."""
        return dict(Counter(outcome.status for outcome in self.outcomes))

    @property
    def id_map(self) -> dict[int, str]:
        """The label of each new vector by its id."""
        return {each: outcome.label for outcome in self.outcomes for each in outcome.ids}


def labelled_images(
    gallery_imgs: Any, gallery_label: str | os.PathLike[str] | Sequence[str] | None = None
) -> list[Labelled]:
    """Images with their labels, out of what PaddleX's `build_index` takes.

    A folder with the list of its images and labels, by default its `gallery.txt`; a folder or a list of
    images with a list of labels, or with a text file of one label a line; or pairs of image and label,
    each a tuple or `{"image": ..., "label": ...}`. Raises LabelListInvalid, UnsupportedSource.
    """
    if gallery_label is None and not is_folder(gallery_imgs):
        return [_pair(each) for each in _listed(gallery_imgs)]
    if is_folder(gallery_imgs) and not _is_list(gallery_label):
        root = Path(gallery_imgs)
        file = root / LIST_NAME if gallery_label is None else Path(str(gallery_label))
        return [(each.path, each.label) for each in read_gallery_list(file, root)]
    if not is_folder(gallery_imgs) and not _is_list(gallery_imgs):
        _listed(gallery_imgs)
    labels = _labels(gallery_label)
    images = list(expand(gallery_imgs))
    if len(images) != len(labels):
        raise LabelListInvalid(f"There are {len(images)} images and {len(labels)} labels.")
    return list(zip(images, labels, strict=True))


def build_gallery(
    client: Client, gallery: str, images: Iterable[Labelled], *, kind: GalleryKind, **options: Any
) -> GalleryReport:
    """A new gallery out of labelled images, in small steps; returns when the last one is done.

    `options` are those of `BuildGallery`, and `operation_id`, `step` (images in a task), `timeout` (seconds
    for one step), `priority`, `on_progress`. Raises GalleryExists; raises what fails a whole step, such as
    DatabaseUnavailable: call again with the operation id that the error's note names.
    """
    return client.run(build_gallery_async(client.as_async(), gallery, images, kind=kind, **options))


def append_gallery(client: Client, gallery: str, images: Iterable[Labelled], **options: Any) -> GalleryReport:
    """More labelled images in a gallery that there is; otherwise like `build_gallery`."""
    return client.run(append_gallery_async(client.as_async(), gallery, images, **options))


async def build_gallery_async(
    client: AsyncClient, gallery: str, images: Iterable[Labelled], *, kind: GalleryKind, **options: Any
) -> GalleryReport:
    """`build_gallery` for asyncio."""
    return await _add(client, gallery, images, kind=kind, **options)


async def append_gallery_async(
    client: AsyncClient, gallery: str, images: Iterable[Labelled], **options: Any
) -> GalleryReport:
    """`append_gallery` for asyncio."""
    return await _add(client, gallery, images, kind=None, **options)


async def _add(
    client: AsyncClient,
    gallery: str,
    images: Iterable[Labelled],
    *,
    kind: GalleryKind | None,
    operation_id: str | None = None,
    step: int = STEP,
    timeout: float | None = 600,
    priority: Priority = "bulk",
    on_progress: Progress | None = None,
    **options: Any,
) -> GalleryReport:
    given = list(images)
    operation = operation_id or uuid.uuid4().hex
    steps = _Steps(client, gallery, operation, total=len(given), timeout=timeout, on_progress=on_progress)
    try:
        for number, portion in enumerate(_portions(given, step, at_least_one=kind is not None)):
            if number == 0 and kind is not None:
                # The gallery has to be there before anything is added to it.
                await steps.send(portion, number, priority, {"kind": kind, **options})
                await steps.finish()
            else:
                each = options if kind is None else _without_making(options)
                await steps.send(portion, number, priority, each)
        await steps.finish()
    except PaddlewheelError as err:
        err.add_note(f"To resume where this ended, repeat the call with operation_id={operation!r}.")
        raise
    return GalleryReport(gallery=gallery, operation_id=operation, outcomes=tuple(steps.outcomes))


class _Steps:
    """The tasks of one build or append, a bounded number of them under way."""

    def __init__(
        self,
        client: AsyncClient,
        gallery: str,
        operation: str,
        *,
        total: int,
        timeout: float | None,
        on_progress: Progress | None,
    ) -> None:
        self._client, self._gallery, self._operation = client, gallery, operation
        self._total, self._timeout, self._on_progress = total, timeout, on_progress
        self._out: deque[tuple[AsyncPending[AddedImages] | None, list[ImageOutcome | None]]] = deque()
        self.outcomes: list[ImageOutcome] = []

    async def send(
        self, portion: Sequence[Labelled], number: int, priority: Priority, options: dict[str, Any]
    ) -> None:
        """Store and enqueue one step; an image that cannot be stored is reported and left out."""
        items: list[LabelledImage] = []
        outcomes: list[ImageOutcome | None] = []
        for image, label in portion:
            try:
                items.append(_item(await self._stored(image), label))
                outcomes.append(None)
            except CallerError as err:
                outcomes.append(_unreadable(image, label, err))
        operation = self._operation if number == 0 else f"{self._operation}/{number}"
        fields = {"gallery": self._gallery, "operation_id": operation, "items": items, **options}
        pending: AsyncPending[AddedImages] | None = None
        if "kind" in options:
            pending = await self._client.enqueue(
                BUILD_GALLERY, check_fields(BuildGallery, fields), priority=priority
            )
        elif items:
            pending = await self._client.enqueue(
                APPEND_GALLERY, check_fields(AppendGallery, fields), priority=priority
            )
        self._out.append((pending, outcomes))
        while len(self._out) > _STEPS_OUT:
            await self._take()

    async def finish(self) -> None:
        """Wait for every step."""
        while self._out:
            await self._take()

    async def _take(self) -> None:
        pending, outcomes = self._out.popleft()
        answered: Iterator[ImageOutcome] = iter(())
        if pending is not None:
            answered = iter((await pending.result(self._timeout)).outcomes)
        self.outcomes += [next(answered) if each is None else each for each in outcomes]
        if self._on_progress is not None:
            self._on_progress(len(self.outcomes), self._total)

    async def _stored(self, image: Any) -> ImageRef:
        return image if isinstance(image, ImageRef) else await self._client.put(image)


def _without_making(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of every step: all but those that only say how the gallery is made."""
    making = set(BuildGallery.model_fields) - set(AppendGallery.model_fields)
    return {name: value for name, value in options.items() if name not in making}


def _item(image: ImageRef, label: str) -> LabelledImage:
    return check_fields(LabelledImage, {"image": image, "label": label})


def _unreadable(image: Any, label: str, err: CallerError) -> ImageOutcome:
    name = os.fspath(image) if isinstance(image, (str, os.PathLike)) else None
    status: Literal["unreadable"] = "unreadable"
    error = ItemError(code=err.code, message=err.message)
    return ImageOutcome(status=status, label=label, input_path=name, error=error)


def _portions(images: Sequence[Labelled], size: int, *, at_least_one: bool) -> Iterator[list[Labelled]]:
    if size < 1:
        raise InvalidRequest(f"A step has at least one image, not {size}.")
    rest = iter(images)
    portion = list(islice(rest, size))
    while portion or at_least_one:
        yield portion
        at_least_one, portion = False, list(islice(rest, size))


def _labels(given: Any) -> tuple[str, ...]:
    return tuple(given) if _is_list(given) else read_labels(Path(given))


def _listed(images: Any) -> Iterable[Any]:
    """A list of images. Raises UnsupportedSource for a path that is no folder, or for one image."""
    if isinstance(images, (str, os.PathLike)):
        path = os.fsdecode(images)
        there = os.path.lexists(path) if "\0" not in path else False
        raise UnsupportedSource(
            f"{path} is no folder: give the folder of a gallery, or a list of images."
            if there
            else f"There is no folder {path}."
        )
    if isinstance(images, (bytes, Mapping)) or not isinstance(images, Iterable):
        raise UnsupportedSource(f"A gallery is made of a folder or a list, not of {type(images).__name__}.")
    return images


def _pair(each: Any) -> Labelled:
    if isinstance(each, Mapping) and set(each) == {"image", "label"}:
        return each["image"], each["label"]
    if isinstance(each, (tuple, list)) and len(each) == 2 and isinstance(each[1], str):
        return each[0], each[1]
    raise LabelListInvalid('Each image comes with its label: (image, label) or {"image": ..., "label": ...}.')


def _is_list(value: Any) -> bool:
    return value is not None and not isinstance(value, (str, os.PathLike))
