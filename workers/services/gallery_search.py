"""Searches of galleries by the embeddings that models make."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from index_store.gallery import Gallery, SearchHit
from index_store.store import GalleryStore
from index_store.vectors import check_model
from paddlewheel.contracts.galleries import GalleryKind
from paddlewheel.contracts.search import Match, ModelSearch, Search
from paddlewheel.errors import FamilyNotServed
from workers.services.embedders import bound_to, model_for


class GallerySearch:
    """Finds matches; without a database it refuses.

    `thresholds` are, by model, the lowest inner product of two embeddings of one person or thing.
    """

    def __init__(self, store: GalleryStore | None, thresholds: Mapping[str, float]) -> None:
        self._store = store
        self._thresholds = thresholds

    def find(self, request: ModelSearch, kind: GalleryKind) -> tuple[Gallery, str | None]:
        """The gallery, and the name of the model that has to embed for it; None is the worker's default.

        Raises GalleryNotFound, ModelMismatch, FamilyNotServed, DatabaseUnavailable.
        """
        gallery = require_store(self._store).gallery(request.gallery)
        return gallery, model_for(gallery.spec.model_fingerprint, kind, request.model)

    def check(self, gallery: Gallery, fingerprint: str) -> None:
        """Before anything is embedded. Raises ModelMismatch."""
        check_model(gallery.spec, fingerprint)

    def matches(
        self,
        request: Search,
        gallery: Gallery,
        embeddings: Sequence[NDArray[np.float32]],
        fingerprint: str | None = None,
    ) -> tuple[tuple[Match, ...], ...]:
        """The matches of each embedding [D], best first. Raises ModelMismatch, DimensionMismatch."""
        if not embeddings:
            return ()
        found = require_store(self._store).search(
            request.gallery,
            np.stack(embeddings),
            top_k=request.top_k,
            threshold=self._threshold(request, gallery),
            level=request.level,
            details=request.details,
            model_fingerprint=fingerprint,
        )
        return tuple(_to_matches(hits) for hits in found)

    def _threshold(self, request: Search, gallery: Gallery) -> float | None:
        bound = bound_to(gallery.spec.model_fingerprint)
        if request.threshold is not None or bound is None or gallery.spec.metric != "IP":
            return request.threshold
        return self._thresholds.get(bound.model)


def require_store(store: GalleryStore | None) -> GalleryStore:
    """The galleries. Raises FamilyNotServed where the worker has no database."""
    if store is None:
        raise FamilyNotServed(
            "This worker has no galleries: PADDLEWHEEL_DATABASE_URL does not say where its database is."
        )
    return store


def _to_matches(hits: Sequence[SearchHit]) -> tuple[Match, ...]:
    return tuple(
        Match(label=hit.label, score=hit.score, id=hit.id, external_id=hit.external_id) for hit in hits
    )
