"""Whole pictures: features, similar pictures, classes. Every model run goes through the batcher."""

import time
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from paddlewheel.contracts.base import ImageRef
from paddlewheel.contracts.images import (
    ClassifiedImage,
    ClassifyImage,
    ExtractedFeature,
    ExtractFeature,
    SearchImage,
    SimilarImages,
)
from tasks.context import TaskContext
from tasks.steps import Steps
from workers.images.loading import Image, ImageLoader
from workers.inference.batching import DynamicBatcher
from workers.inference.items import Answer
from workers.models.families.image_classification import ImageClassification
from workers.services.decimals import round_floats
from workers.services.embedders import Embedder
from workers.services.gallery_search import GallerySearch
from workers.services.model_choice import choose_model
from workers.services.serving import ServingNotes


class BatchedPictures:
    """Answers for whole pictures."""

    def __init__(
        self,
        *,
        embedders: Mapping[str, Embedder],
        classifiers: Mapping[str, ImageClassification],
        serving: ServingNotes,
        batcher: DynamicBatcher,
        images: ImageLoader,
        search: GallerySearch,
    ) -> None:
        """The first embedder and the first classifier are the defaults; none turns the family off."""
        self._embedders = embedders
        self._classifiers = classifiers
        self._serving = serving
        self._batcher = batcher
        self._images = images
        self._search = search

    def extract(self, request: ExtractFeature, task: TaskContext) -> Steps[ExtractedFeature]:
        """The feature of a picture."""
        began = time.perf_counter()
        embedder = self.embedder(request.model)
        page_index, feature, answer = yield from self.embed_stored(
            request.image, request.page_index, embedder, task
        )
        return ExtractedFeature(
            input_path=request.image.input_path,
            page_index=page_index,
            feature=round_floats(feature),
            dimension=len(feature),
            model=embedder.name,
            served=self._serving.note(embedder.name, [answer], task, began),
        )

    def search(self, request: SearchImage, task: TaskContext) -> Steps[SimilarImages]:
        """The pictures of a gallery that are most like this one."""
        began = time.perf_counter()
        gallery, model = self._search.find(request, "images")
        embedder = self.embedder(model)
        fingerprint = embedder.fingerprint("images")
        self._search.check(gallery, fingerprint)
        page_index, feature, answer = yield from self.embed_stored(
            request.image, request.page_index, embedder, task
        )
        (matches,) = self._search.matches(request, gallery, [feature], fingerprint)
        return SimilarImages(
            input_path=request.image.input_path,
            page_index=page_index,
            gallery=request.gallery,
            rec_results=matches,
            served=self._serving.note(embedder.name, [answer], task, began),
        )

    def classify(self, request: ClassifyImage, task: TaskContext) -> Steps[ClassifiedImage]:
        """What a picture shows."""
        began = time.perf_counter()
        classifier = choose_model(self._classifiers, request.model, "image classification")
        page = self._images.load(request.image, request.page_index)
        waiting = self._batcher.submit(classifier.name, classifier.preprocess(page.image), task)
        yield
        answer = waiting.result()
        found = classifier.postprocess(answer.outputs, request.top_k)
        return ClassifiedImage(
            input_path=request.image.input_path,
            page_index=page.page_index,
            class_id=found.class_ids[0],
            class_name=found.label_names[0],
            class_probs=_to_probabilities(found.class_ids, found.label_names, answer.outputs[0]),
            served=self._serving.note(classifier.name, [answer], task, began),
        )

    def embedder(self, name: str | None) -> Embedder:
        """The model of that name, or the default. Raises FamilyNotServed, ModelUnknown."""
        return choose_model(self._embedders, name, "image features")

    def embed_stored(
        self, image: ImageRef, page_index: int, embedder: Embedder, task: TaskContext
    ) -> Steps[tuple[int | None, NDArray[np.float32], Answer]]:
        """A picture's page index, its embedding of length 1, and the answer that it came with."""
        page = self._images.load(image, page_index)
        embedding, answer = yield from self.embed_pixels(page.image, embedder, task)
        return page.page_index, embedding, answer

    def embed_pixels(
        self, image: Image, embedder: Embedder, task: TaskContext
    ) -> Steps[tuple[NDArray[np.float32], Answer]]:
        """The embedding of length 1 of decoded pixels, and the answer that it came with."""
        waiting = self._batcher.submit(embedder.name, embedder.model.preprocess(image), task)
        yield
        answer = waiting.result()
        return embedder.model.postprocess(answer.outputs), answer


def _to_probabilities(
    ids: Sequence[int], names: Sequence[str], outputs: NDArray[np.float32]
) -> dict[str, float]:
    """Probabilities by name; classes that share a name have their number added."""
    shared = {name for name in names if names.count(name) > 1}
    probabilities = outputs.reshape(-1)
    return {
        f"{name} ({index})" if name in shared else name: float(f"{float(probabilities[index]):.9g}")
        for index, name in zip(ids, names, strict=True)
    }
