from typing import Any

import numpy as np
import pytest

from paddlewheel.errors import ModelUnavailable
from tests.sample_pictures import waves
from tests.unit.models.conftest import CLASSIFICATION, MakeDirectory
from workers.models.families.image_classification import ImageClassification
from workers.models.home.directory import ModelDirectory

PROBABILITIES = (np.array([0.2000049, 0.1, 0.6999951], dtype=np.float32),)


def open_model(make_directory: MakeDirectory, topk: dict[str, Any]) -> ImageClassification:
    config = {**CLASSIFICATION, "PostProcess": {"Topk": topk}}
    return ImageClassification.open(ModelDirectory.open(make_directory(config, "inference.onnx")))


@pytest.fixture
def classifier(make_directory: MakeDirectory) -> ImageClassification:
    return open_model(make_directory, {"topk": 2, "label_list": ["cat", "dog", "鸟"]})


def test_the_best_classes_come_first_rounded_as_paddlex_does(classifier: ImageClassification) -> None:
    found = classifier.postprocess(PROBABILITIES)
    assert (found.class_ids, found.label_names) == ((2, 0), ("鸟", "cat"))
    assert found.scores == (float(np.float32(0.7)), float(np.float32(0.2)))


@pytest.mark.parametrize(("asked", "given"), [(1, 1), (3, 3), (1000, 3), (None, 2)])
def test_as_many_classes_as_asked_for_and_there_are(
    classifier: ImageClassification, asked: int | None, given: int
) -> None:
    found = classifier.postprocess(PROBABILITIES, asked)
    assert len(found.class_ids) == len(found.label_names) == len(found.scores) == given


def test_all_probabilities_are_there_by_name_and_not_rounded(classifier: ImageClassification) -> None:
    named = classifier.class_probs(PROBABILITIES)
    assert list(named) == ["cat", "dog", "鸟"]
    assert named["cat"] == np.float32(0.2000049)


def test_the_tensor_is_the_middle_of_the_picture(classifier: ImageClassification) -> None:
    (tensor,) = classifier.preprocess(waves(50, 120))
    assert ((tensor.shape,),) == classifier.warmup_shapes == (((3, 28, 28),),)


@pytest.mark.parametrize("labels", [None, [], ["cat"]])
def test_a_class_without_a_name_goes_by_its_number(
    make_directory: MakeDirectory, labels: list[str] | None
) -> None:
    found = open_model(make_directory, {"topk": 1, "label_list": labels}).postprocess(PROBABILITIES)
    assert found.label_names == ("2",)


@pytest.mark.parametrize(
    ("topk", "complaint"),
    [
        ({"topk": 0}, "topk is 0"),
        ({"label_list": ["cat"]}, "topk is None"),
        ({"topk": "five"}, "topk is 'five'"),
        ({"topk": 1, "label_list": "labels.txt"}, "label_list is not a list"),
    ],
)
def test_a_config_that_cannot_be_used_is_explained(
    make_directory: MakeDirectory, topk: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ModelUnavailable, match=complaint):
        open_model(make_directory, topk)
