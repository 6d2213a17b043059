"""What becomes of the images of a task: outcomes, duplicates, policies; without a model."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddlewheel.contracts.base import ImageRef
from paddlewheel.contracts.galleries import AppendGallery, LabelledImage
from paddlewheel.errors import (
    BlobStoreUnavailable,
    ImageCorrupt,
    ModelCrashed,
    PaddlewheelError,
    TaskCancelled,
)
from tasks.context import TaskContext
from tasks.steps import Steps
from workers.services.embedders import Embedder
from workers.services.face_finding import FoundFace
from workers.services.faces import BatchedFaces, FoundFaces
from workers.services.gallery_images import EmbeddedImages, GalleryImages, ImageEmbedder
from workers.services.pictures import BatchedPictures

TASK = TaskContext(task_id="t")
EMBEDDER = cast(Embedder, None)


def ref(number: int) -> ImageRef:
    return ImageRef(blob=f"sha256:{number:064x}", input_path=f"{number}.jpg")


def item(number: int, label: str = "a", external_id: str | None = None) -> LabelledImage:
    return LabelledImage(image=ref(number), label=label, external_id=external_id)


class Seeing:
    """Finds as many faces in an image as its number says; raises the errors that it is given."""

    def __init__(self, errors: Mapping[int, PaddlewheelError] | None = None) -> None:
        self.errors = errors or {}
        self.seen: list[int] = []

    def find_faces(self, image: ImageRef, *_: object) -> Steps[FoundFaces]:
        number = int(image.blob[7:], 16)
        self.seen.append(number)
        yield
        if number in self.errors:
            raise self.errors[number]
        faces = [FoundFace(box=(0, 0, 10 - i, 10 - i), score=0.9) for i in range(number)]
        page = type("Page", (), {"image": None, "page_index": None})()
        return FoundFaces(page=cast(Any, page), faces=faces, answer=cast(Any, None))

    def embed_faces(
        self, image: Any, faces: Sequence[FoundFace], *_: object
    ) -> Steps[tuple[list[Any], list[Any]]]:
        del image
        yield
        return [np.array([face.area, 1], np.float32) for face in faces], []


def embed(
    items: Sequence[LabelledImage],
    *,
    seeing: Seeing | None = None,
    known: frozenset[tuple[str, str]] = frozenset(),
    **options: Any,
) -> EmbeddedImages:
    images = GalleryImages(cast(BatchedFaces, seeing or Seeing()), cast(BatchedPictures, None))
    request = AppendGallery(gallery="g", items=tuple(items), **options)
    embedder = ImageEmbedder(kind="faces", embedder=EMBEDDER, detector=cast(Any, object()))
    return images.embed(items, embedder, request, TASK, known=known)


def statuses(items: Sequence[LabelledImage], embedded: EmbeddedImages) -> list[str]:
    ids = range(100, 100 + len(embedded.rows))
    return [outcome.status for outcome in EmbeddedImages.outcomes(items, embedded.note, ids)]


def test_each_image_has_its_own_fate() -> None:
    items = [item(1), item(0), item(2), item(7), item(8)]
    seeing = Seeing({7: ImageCorrupt("cut off"), 8: ModelCrashed("died")})
    embedded = embed(items, seeing=seeing)
    assert statuses(items, embedded) == ["indexed", "no_face", "several_faces", "unreadable", "failed"]
    assert embedded.rows.shape == (1, 2)
    outcomes = EmbeddedImages.outcomes(items, embedded.note, [100])
    assert outcomes[0].ids == (100,)
    assert outcomes[3].error is not None
    assert outcomes[3].error.code == "image_corrupt"
    assert "2 faces" in (outcomes[2].error.message if outcomes[2].error else "")


@pytest.mark.parametrize(("policy", "rows"), [("largest", [100.0]), ("all", [100.0, 81.0, 64.0])])
def test_of_several_faces_the_largest_or_all_are_taken(policy: str, rows: list[float]) -> None:
    embedded = embed([item(3, "c")], several_faces=policy)
    assert embedded.rows[:, 0].tolist() == rows
    assert embedded.labels == ("c",) * len(rows)
    assert embedded.external_ids == (ref(3).blob,) * len(rows)


def test_an_image_that_is_known_is_not_looked_at_again() -> None:
    seeing = Seeing()
    items = [item(1), item(1, "b"), item(1), item(1, external_id="mine")]
    embedded = embed(items, seeing=seeing, known=frozenset({(ref(1).blob, "b")}))
    assert statuses(items, embedded) == ["indexed", "duplicate", "duplicate", "indexed"]
    assert seeing.seen == [1, 1]
    assert embedded.external_ids == (ref(1).blob, "mine")


def test_a_repeated_image_that_cannot_be_used_says_so_each_time() -> None:
    items = [item(0), item(0)]
    assert statuses(items, embed(items)) == ["no_face", "no_face"]


@pytest.mark.parametrize("error", [BlobStoreUnavailable(), TaskCancelled()])
def test_a_fault_that_no_image_caused_ends_the_task(error: PaddlewheelError) -> None:
    with pytest.raises(type(error)):
        embed([item(1), item(2)], seeing=Seeing({2: error}))


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("ab")), min_size=1, max_size=30))
def test_every_row_belongs_to_exactly_one_outcome(plan: list[tuple[int, str]]) -> None:
    items = [item(number, label) for number, label in plan]
    embedded = embed(items, several_faces="all")
    ids = list(range(len(embedded.rows)))
    outcomes = EmbeddedImages.outcomes(items, embedded.note, ids)
    assert [each for outcome in outcomes for each in outcome.ids] == ids
    for place, outcome in enumerate(outcomes):
        assert outcome.label == plan[place][1]
        assert {embedded.labels[each] for each in outcome.ids} <= {outcome.label}
        expected = "no_face" if plan[place][0] == 0 else "indexed"
        assert outcome.status == ("duplicate" if plan[place] in plan[:place] and plan[place][0] else expected)
