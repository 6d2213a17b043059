"""PaddleX's clients at the gateway: the same paths, the same JSON, the same envelope."""

import base64
import html
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from local.photographs import photographs
from tests.acceptance.gateway.conftest import ROOT, encoded

SEED = ROOT.parent / "shared" / "seeds" / "002_2afddc544cbbab0f.txt"

FACES = {photograph.path.stem: photograph for photograph in photographs()}
OBAMA, OBAMA_AGAIN, BIDEN = (FACES[name].path for name in ("obama", "obama2", "biden"))


def post(url: str, path: str, **fields: Any) -> requests.Response:
    return requests.post(f"{url}/{path}", json=fields, timeout=120)


def pairs(**labels: Path) -> list[dict[str, str]]:
    return [{"image": encoded(path), "label": label} for label, path in labels.items()]


def test_an_index_lives_as_in_the_manual(gateway_url: str) -> None:
    built = post(gateway_url, "face-recognition-index-build", imageLabelPairs=pairs(obama=OBAMA, biden=BIDEN))
    assert built.status_code == 200
    envelope = built.json()
    assert (envelope["errorCode"], envelope["errorMsg"]) == (0, "Success")
    assert envelope["logId"] == built.headers["X-Request-ID"]
    index = envelope["result"]["indexKey"]
    assert envelope["result"]["idMap"] == {"0": "obama", "1": "biden"}

    def names(picture: Path, **options: Any) -> list[str]:
        found = post(gateway_url, "face-recognition-infer", image=encoded(picture), indexKey=index, **options)
        return [
            each["recResults"][0]["label"] for each in found.json()["result"]["faces"] if each["recResults"]
        ]

    assert names(OBAMA_AGAIN) == ["obama"]
    added = post(
        gateway_url, "face-recognition-index-add", imageLabelPairs=pairs(again=OBAMA_AGAIN), indexKey=index
    )
    assert added.json()["result"]["idMap"] == {"0": "obama", "1": "biden", "2": "again"}
    assert names(OBAMA_AGAIN, topk=1) == ["again"]
    removed = post(gateway_url, "face-recognition-index-remove", ids=[1], indexKey=index)
    assert removed.json()["result"]["idMap"] == {"0": "obama", "2": "again"}
    assert removed.json()["result"]["imageCount"] == 2
    assert names(BIDEN) == []


def test_a_recognised_picture_comes_back_drawn(gateway_url: str) -> None:
    index = post(gateway_url, "face-recognition-index-build", imageLabelPairs=pairs(obama=OBAMA))
    key = index.json()["result"]["indexKey"]
    found = post(gateway_url, "face-recognition-infer", image=encoded(OBAMA), indexKey=key).json()["result"]
    with Image.open(io.BytesIO(base64.b64decode(found["image"]))) as drawn, Image.open(OBAMA) as given:
        assert drawn.format == "JPEG"
        assert drawn.width >= given.width
    (face,) = found["faces"]
    assert len(face["bbox"]) == 4
    assert 0.5 < face["score"] <= 1
    plain = post(gateway_url, "face-recognition-infer", image=encoded(OBAMA), visualize=False).json()[
        "result"
    ]
    assert "image" not in plain
    assert [each["recResults"] for each in plain["faces"]] == [[]]


def test_a_picture_without_a_face_is_reported_and_the_others_are_indexed(
    gateway_url: str, good_line: bytes
) -> None:
    blank = {"image": base64.b64encode(good_line).decode(), "label": "nobody"}
    broken = {"image": base64.b64encode(b"no picture").decode(), "label": "broken"}
    given = [blank, *pairs(biden=BIDEN), broken]
    result = post(gateway_url, "face-recognition-index-build", imageLabelPairs=given).json()["result"]
    assert result["idMap"] == {"1": "biden"}
    assert [(each["position"], each["status"]) for each in result["skipped"]] == [
        (0, "no_face"),
        (2, "unreadable"),
    ]
    nothing = post(gateway_url, "face-recognition-index-build", imageLabelPairs=[blank])
    assert (nothing.status_code, nothing.json()["errorCode"]) == (422, 422)


@pytest.mark.parametrize("operation", ["index-add", "index-remove", "infer"])
def test_an_unknown_index_is_not_found_in_the_same_envelope(gateway_url: str, operation: str) -> None:
    fields: dict[str, Any] = {"indexKey": "nobody-built-this", "image": encoded(BIDEN)}
    fields |= {"imageLabelPairs": pairs(biden=BIDEN), "ids": [1]}
    for service in ("face-recognition", "shitu"):
        answer = post(gateway_url, f"{service}-{operation}", **fields)
        assert answer.status_code == answer.json()["errorCode"] == 404
        assert set(answer.json()) == {"logId", "errorCode", "errorMsg"}


def test_pictures_are_retrieved_as_faces_are(gateway_url: str) -> None:
    built = post(gateway_url, "shitu-index-build", imageLabelPairs=pairs(obama=OBAMA, biden=BIDEN))
    key = built.json()["result"]["indexKey"]
    found = post(gateway_url, "shitu-infer", image=encoded(BIDEN), indexKey=key, topk=1).json()["result"]
    (whole,) = found["detectedObjects"]
    assert [each["label"] for each in whole["recResults"]] == ["biden"]
    with Image.open(BIDEN) as given:
        assert whole["bbox"] == [0, 0, given.width, given.height]
    # There are no faces in it.
    other = post(gateway_url, "face-recognition-infer", image=encoded(BIDEN), indexKey=key)
    assert other.status_code == other.json()["errorCode"] == 422


def test_one_model_at_a_time(gateway_url: str, good_line: bytes) -> None:
    line = base64.b64encode(good_line).decode()
    text = post(gateway_url, "text-recognition", image=line, visualize=False).json()["result"]
    assert text["text"] == "page 7731"
    page = post(gateway_url, "ocr", file=line, visualize=False).json()["result"]["ocrResults"]
    assert [each["prunedResult"]["rec_texts"] for each in page] == [["page 7731"]]
    feature = post(gateway_url, "image-feature", image=encoded(BIDEN)).json()["result"]
    assert len(feature["feature"]) == feature["dimension"] == 1280
    classes = post(gateway_url, "image-classification", image=encoded(BIDEN), topk=3).json()["result"]
    assert len(classes["categories"]) == 3
    assert isinstance(classes["categories"][0]["id"], int)


def test_a_request_that_does_not_fit_lists_its_faults(gateway_url: str) -> None:
    answer = post(gateway_url, "face-recognition-infer", indexKey=7)
    assert answer.status_code == answer.json()["errorCode"] == 422
    assert '"image"' in answer.json()["errorMsg"]


@pytest.mark.skipif(not SEED.exists(), reason="the manual with the sample is not beside this checkout")
def test_the_sample_of_the_manual_runs_with_another_address_alone(gateway_url: str, tmp_path: Path) -> None:
    blocks = re.findall(r'<code class="language-python">(.*?)</code>', SEED.read_text("utf-8"), re.DOTALL)
    (sample,) = [html.unescape(block) for block in blocks if "API_BASE_URL" in block]
    assert sample.count("http://0.0.0.0:8080") == 1
    (tmp_path / "sample.py").write_text(sample.replace("http://0.0.0.0:8080", gateway_url))
    for number, picture in enumerate((OBAMA, BIDEN, FACES["obama3"].path, OBAMA_AGAIN, BIDEN)):
        shutil.copy(picture, tmp_path / f"demo{number}.jpg")
    ran = subprocess.run(
        [sys.executable, "sample.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    counts = re.findall(r"Number of images indexed: (\d+)", ran.stdout)
    assert counts == ["3", "4", "3"]
    assert "Detected faces:" in ran.stdout
    with Image.open(tmp_path / "out.jpg") as drawn:
        assert drawn.format == "JPEG"
