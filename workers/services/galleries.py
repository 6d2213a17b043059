"""Galleries behind the tasks: images embedded and stored, changes that may be repeated, files in and out."""

import json
import re
from hashlib import sha256
from typing import Final

import numpy as np

from index_store.erasure import Eraser
from index_store.gallery import Appended, Gallery, GallerySpec
from index_store.planning import SealingPolicy
from index_store.selection import Selection
from index_store.store import GalleryStore
from index_store.vectors import check_model
from paddlewheel.contracts.galleries import (
    AddedImages,
    AppendGallery,
    BuildGallery,
    DeletedGallery,
    DeleteGallery,
    DescribeGallery,
    ExportedGallery,
    ExportGallery,
    FoundVectors,
    GalleryDescription,
    ImportedGallery,
    ImportGallery,
    RemovedVectors,
    RemoveGallery,
    SearchGallery,
)
from paddlewheel.errors import GalleryExists, GalleryFolderInvalid, GalleryNotFound, ModelMismatch
from tasks.context import TaskContext
from workers.services.embedders import bound_to
from workers.services.gallery_images import EmbeddedImages, GalleryImages, ImageEmbedder
from workers.services.gallery_search import GallerySearch, require_store

_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]")
_LONGEST_NAME: Final = 200


class GalleryService:
    """Galleries of one database. `exchange` is a folder, or its URL, that galleries go to and come from."""

    def __init__(
        self,
        store: GalleryStore | None,
        search: GallerySearch,
        images: GalleryImages,
        *,
        policy: SealingPolicy,
        exchange: str,
    ) -> None:
        """Every call raises FamilyNotServed where there is no `store`."""
        self._galleries = store
        self._search = search
        self._images = images
        self._policy = policy
        self._exchange = exchange

    def build(self, request: BuildGallery, task: TaskContext) -> AddedImages:
        """A new gallery with its first images. Raises GalleryExists, OperationMismatch."""
        store = self._store
        operation, digest = request.operation_id or task.task_id, _digest(request)
        done = self._built(request.gallery, operation, digest)
        if done is not None:
            return _answer(request, done)
        embedder = self._images.embedder(request.kind, request.model, request.detection_model)
        embedded = self._images.embed(request.items, embedder, request, task)
        spec = GallerySpec(
            dimension=self._images.dimension(embedder, embedded, task),
            metric=request.metric,
            index_type=request.index_type,
            precision=request.precision,
            model_fingerprint=embedder.fingerprint,
        )
        appended = store.build(
            request.gallery,
            spec,
            embedded.rows,
            embedded.labels,
            external_ids=embedded.external_ids,
            operation_id=operation,
            request_digest=digest,
            note=embedded.note,
        )
        return _answer(request, appended)

    def append(self, request: AppendGallery, task: TaskContext) -> AddedImages:
        """More images. Raises GalleryNotFound, ModelMismatch, OperationMismatch."""
        store = self._store
        operation, digest = request.operation_id or task.task_id, _digest(request)
        gallery = store.gallery(request.gallery)
        done = store.find_append(gallery, operation, digest)
        if done is not None:
            return _answer(request, done)
        embedder = self._embedder_of(gallery, request.detection_model)
        known = store.find_external(gallery, [item.identity for item in request.items])
        embedded = self._images.embed(request.items, embedder, request, task, known=frozenset(known))
        appended = store.append(
            gallery,
            embedded.rows,
            embedded.labels,
            external_ids=embedded.external_ids,
            model_fingerprint=embedder.fingerprint,
            operation_id=operation,
            request_digest=digest,
            note=embedded.note,
        )
        return _answer(request, appended)

    def remove(self, request: RemoveGallery, task: TaskContext) -> RemovedVectors:
        """Take vectors out, search for them in vain, and give the receipt. Raises GalleryNotFound."""
        selection = Selection(ids=request.ids, labels=request.labels, external_ids=request.external_ids)
        eraser = Eraser(store=self._store, policy=self._policy)
        receipt = eraser.erase(request.gallery, selection, request.operation_id or task.task_id)
        return RemovedVectors(
            gallery=request.gallery,
            operation_id=receipt.operation_id,
            ids=receipt.ids,
            removed_at=receipt.removed_at,
            verified_at=receipt.verified_at,
            searched=receipt.searched,
            purge_by=receipt.purge_by,
            purged_at=receipt.purged_at,
        )

    def search(self, request: SearchGallery, task: TaskContext) -> FoundVectors:
        """Search by features. Raises GalleryNotFound, DimensionMismatch, VectorInvalid, ModelMismatch."""
        del task
        gallery = self._store.gallery(request.gallery)
        bound = bound_to(gallery.spec.model_fingerprint)
        if request.model is not None and bound is not None and bound.model != request.model:
            raise ModelMismatch(
                f"The gallery holds embeddings of {bound.model}, these are of {request.model}."
            )
        features = [np.array(each, np.float32) for each in request.features]
        matches = self._search.matches(request, gallery, features)
        return FoundVectors(gallery=request.gallery, rec_results=matches)

    def describe(self, request: DescribeGallery, task: TaskContext) -> GalleryDescription:
        """What a gallery is made of. Raises GalleryNotFound."""
        del task
        found = self._store.describe(request.gallery)
        gallery, spec = found.gallery, found.gallery.spec
        bound = bound_to(spec.model_fingerprint)
        return GalleryDescription(
            gallery=gallery.key,
            kind=bound.kind if bound else None,
            model=bound.model if bound else None,
            model_fingerprint=spec.model_fingerprint,
            dimension=spec.dimension,
            metric=spec.metric,
            index_type=spec.index_type,
            precision=spec.precision,
            vectors=gallery.live,
            unsealed=found.unsealed,
            tombstones=found.tombstones,
            segments=len(found.segments),
            file_bytes=found.file_bytes,
            generation=gallery.generation,
            created_at=gallery.created_at,
        )

    def delete(self, request: DeleteGallery, task: TaskContext) -> DeletedGallery:
        """Delete a gallery. One that is not there is no error: a task may be delivered twice."""
        del task
        try:
            deleted = self._store.delete(request.gallery)
        except GalleryNotFound:
            return DeletedGallery(gallery=request.gallery, vectors=0, existed=False)
        return DeletedGallery(gallery=request.gallery, vectors=deleted.vectors, existed=True)

    def export(self, request: ExportGallery, task: TaskContext) -> ExportedGallery:
        """Write PaddleX's folder, named after the gallery and the operation. Raises GalleryNotFound."""
        folder = _folder_name(request.gallery, request.operation_id or task.task_id)
        try:
            vectors = self._store.export_to(
                request.gallery, self._place(folder), index_type=request.index_type
            )
        except GalleryFolderInvalid:
            # Only this operation writes there: it has been delivered before.
            return ExportedGallery(gallery=request.gallery, folder=folder, vectors=None)
        return ExportedGallery(gallery=request.gallery, folder=folder, vectors=vectors)

    def import_(self, request: ImportGallery, task: TaskContext) -> ImportedGallery:
        """A new gallery out of PaddleX's folder. Raises GalleryExists, GalleryFolderInvalid."""
        fingerprint = None
        if request.kind is not None:
            embedder = self._images.embedder(request.kind, request.model, request.detection_model)
            fingerprint = embedder.fingerprint
        imported = self._store.import_from(
            request.gallery,
            self._place(request.folder),
            precision=request.precision,
            index_type=request.index_type,
            model_fingerprint=fingerprint,
            operation_id=request.operation_id or task.task_id,
        )
        return ImportedGallery(
            gallery=request.gallery,
            operation_id=imported.appended.operation_id,
            vectors=len(imported.appended.ids),
            dimension=imported.spec.dimension,
            metric=imported.spec.metric,
            repaired=imported.repaired,
        )

    @property
    def _store(self) -> GalleryStore:
        return require_store(self._galleries)

    def _place(self, name: str) -> str:
        return f"{self._exchange.rstrip('/')}/{name}"

    def _built(self, key: str, operation: str, digest: bytes) -> Appended | None:
        """What the same build answered before; None where there is no such gallery."""
        try:
            done = self._store.find_append(key, operation, digest)
        except GalleryNotFound:
            return None
        if done is None:
            raise GalleryExists(f"A gallery {key!r} exists already: delete it first, or choose another key.")
        return done

    def _embedder_of(self, gallery: Gallery, detection_model: str | None) -> ImageEmbedder:
        bound = bound_to(gallery.spec.model_fingerprint)
        if bound is None:
            raise ModelMismatch(
                f"The gallery {gallery.key!r} does not say which model made its vectors: build it of images, "
                "or import it with a kind and a model."
            )
        embedder = self._images.embedder(bound.kind, bound.model, detection_model)
        check_model(gallery.spec, embedder.fingerprint)
        return embedder


def _digest(request: BuildGallery | AppendGallery) -> bytes:
    """What tells a repeated request from another one: not its id, nor when its images expire."""
    fields = request.model_dump(mode="json", exclude={"operation_id", "items"})
    images = [(item.image.blob, item.label, item.external_id) for item in request.items]
    return sha256(json.dumps([fields, images], sort_keys=True).encode()).digest()


def _answer(request: BuildGallery | AppendGallery, appended: Appended) -> AddedImages:
    return AddedImages(
        gallery=request.gallery,
        operation_id=appended.operation_id,
        generation=appended.generation,
        outcomes=EmbeddedImages.outcomes(request.items, appended.note or {}, appended.ids),
        repeated=appended.repeated,
    )


def _folder_name(*parts: str) -> str:
    name = "-".join(_NO_NAME.sub("_", part) for part in parts)
    plain = name == "-".join(parts) and len(name) <= _LONGEST_NAME
    # Different operations never share a folder, whatever characters they are written in.
    return name if plain else f"{name[: _LONGEST_NAME - 17]}-{sha256(repr(parts).encode()).hexdigest()[:16]}"
