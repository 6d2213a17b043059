"""Faces: found, cut out, embedded, and looked up. Every model run goes through the batcher."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paddlewheel.contracts.base import ImageRef
from paddlewheel.contracts.faces import (
    DetectedFace,
    DetectedFaces,
    DetectFaces,
    EmbeddedFace,
    EmbeddedFaces,
    EmbedFaces,
    IdentifiedFace,
    IdentifiedFaces,
    IdentifyFaces,
)
from tasks.context import TaskContext
from tasks.steps import Steps
from workers.images.loading import Image, ImageLoader, PageImage
from workers.inference.batching import DynamicBatcher
from workers.inference.items import Answer
from workers.services.decimals import round_floats
from workers.services.embedders import Embedder
from workers.services.face_finding import FaceDetector, FoundFace, cut_out
from workers.services.gallery_search import GallerySearch
from workers.services.model_choice import choose_model
from workers.services.serving import ServingNotes


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundFaces:
    """The faces of one picture, the largest first."""

    page: PageImage
    faces: Sequence[FoundFace]
    answer: Answer


class BatchedFaces:
    """Answers for faces."""

    def __init__(
        self,
        *,
        detectors: Mapping[str, FaceDetector],
        embedders: Mapping[str, Embedder],
        serving: ServingNotes,
        batcher: DynamicBatcher,
        images: ImageLoader,
        search: GallerySearch,
    ) -> None:
        """The first detector and the first embedder are the defaults; none turns the family off."""
        self._detectors = detectors
        self._embedders = embedders
        self._serving = serving
        self._batcher = batcher
        self._images = images
        self._search = search

    def detect(self, request: DetectFaces, task: TaskContext) -> Steps[DetectedFaces]:
        """The faces in a picture."""
        began = time.perf_counter()
        detector = self.detector(request.model)
        found = yield from self.find_faces(
            request.image, request.page_index, detector, request.min_score, task
        )
        height, width = found.page.image.shape[:2]
        return DetectedFaces(
            input_path=request.image.input_path,
            page_index=found.page.page_index,
            width=width,
            height=height,
            faces=tuple(_to_result(face) for face in found.faces),
            served=self._serving.note(detector.name, [found.answer], task, began),
        )

    def embed(self, request: EmbedFaces, task: TaskContext) -> Steps[EmbeddedFaces]:
        """The faces in a picture, with their embeddings."""
        began = time.perf_counter()
        detector, embedder = self.detector(request.detection_model), self.embedder(request.model)
        found = yield from self.find_faces(
            request.image, request.page_index, detector, request.min_score, task
        )
        features, answers = yield from self.embed_faces(found.page.image, found.faces, embedder, task)
        height, width = found.page.image.shape[:2]
        faces = tuple(
            EmbeddedFace(**_to_result(face).model_dump(), feature=round_floats(feature))
            for face, feature in zip(found.faces, features, strict=True)
        )
        return EmbeddedFaces(
            input_path=request.image.input_path,
            page_index=found.page.page_index,
            width=width,
            height=height,
            model=embedder.name,
            faces=faces,
            served=self._serving.note(embedder.name, answers, task, began),
        )

    def identify(self, request: IdentifyFaces, task: TaskContext) -> Steps[IdentifiedFaces]:
        """The faces in a picture, and whose they are."""
        began = time.perf_counter()
        gallery, model = self._search.find(request, "faces")
        detector, embedder = self.detector(request.detection_model), self.embedder(model)
        fingerprint = embedder.fingerprint("faces", detector.way)
        self._search.check(gallery, fingerprint)
        found = yield from self.find_faces(
            request.image, request.page_index, detector, request.min_score, task
        )
        features, answers = yield from self.embed_faces(found.page.image, found.faces, embedder, task)
        matches = self._search.matches(request, gallery, features, fingerprint)
        height, width = found.page.image.shape[:2]
        faces = tuple(
            IdentifiedFace(**_to_result(face).model_dump(), rec_results=known)
            for face, known in zip(found.faces, matches, strict=True)
        )
        return IdentifiedFaces(
            input_path=request.image.input_path,
            page_index=found.page.page_index,
            width=width,
            height=height,
            gallery=request.gallery,
            faces=faces,
            served=self._serving.note(embedder.name, answers, task, began),
        )

    def detector(self, name: str | None) -> FaceDetector:
        """The detector of that name, or the default. Raises FamilyNotServed, ModelUnknown."""
        return choose_model(self._detectors, name, "face detection")

    def embedder(self, name: str | None) -> Embedder:
        """The embedder of that name, or the default. Raises FamilyNotServed, ModelUnknown."""
        return choose_model(self._embedders, name, "face features")

    def find_faces(
        self,
        image: ImageRef,
        page_index: int,
        detector: FaceDetector,
        min_score: float | None,
        task: TaskContext,
    ) -> Steps[FoundFaces]:
        """The faces of a picture."""
        page = self._images.load(image, page_index)
        waiting = self._batcher.submit(detector.name, detector.preprocess(page.image), task)
        yield
        answer = waiting.result()
        return FoundFaces(
            page=page, faces=detector.faces(answer.outputs, page.image, min_score), answer=answer
        )

    def embed_faces(
        self, image: Image, faces: Sequence[FoundFace], embedder: Embedder, task: TaskContext
    ) -> Steps[tuple[list[NDArray[np.float32]], list[Answer]]]:
        """An embedding of length 1 for each face, and the answers that they came with."""
        cuts = [cut_out(image, face, embedder.side) for face in faces]
        waiting = [
            self._batcher.submit(embedder.name, embedder.model.preprocess(each), task) for each in cuts
        ]
        yield
        answers = [each.result() for each in waiting]
        return [embedder.model.postprocess(answer.outputs) for answer in answers], answers


def _to_result(face: FoundFace) -> DetectedFace:
    points = None if face.landmarks is None else tuple((float(x), float(y)) for x, y in face.landmarks)
    return DetectedFace(bbox=face.box, score=face.score, landmarks=points)
