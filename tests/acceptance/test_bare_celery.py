"""The contract for other producers, kept by programs that have Celery and redis and nothing of ours."""

import json
import subprocess
import sys
import textwrap

from tests.acceptance.conftest import Service
from tests.data.people import OBAMA, portraits

BARE = """
import hashlib, json, sys, time
from celery import Celery
from redis import Redis

url, picture = sys.argv[1], sys.stdin.buffer.read()
digest = hashlib.sha256(picture).hexdigest()
redis = Redis.from_url(url)
redis.set(f"paddlewheel:blob:{digest}", picture, ex=3600)
app = Celery(broker=url, backend=url)
image = {"blob": f"sha256:{digest}"}
"""

ASSERT_BARE = """
assert "paddlewheel" not in sys.modules
"""


def run_bare(service: Service, picture: bytes, script: str) -> object:
    """Run a program of its own, isolated from this checkout; what it prints as JSON."""
    program = BARE + textwrap.dedent(script) + ASSERT_BARE
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, service.url],
        input=picture,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_a_plain_celery_producer_gets_a_line_read(service: Service, good_line: bytes) -> None:
    result = run_bare(
        service,
        good_line,
        """
        sent = app.send_task("ocr.recognize", args=[{"image": image}], queue="gpu")
        print(json.dumps(sent.get(timeout=60)))
        """,
    )
    assert isinstance(result, dict)
    assert result["rec_text"] == "page 7731"
    assert result["input_path"] is None
    assert result["served"]["queue_ms"] is None


def test_many_lines_in_one_message_answer_in_order(service: Service, good_line: bytes) -> None:
    result = run_bare(
        service,
        good_line,
        """
        missing = {"blob": "sha256:" + "0" * 64}
        items = [{"image": image}, {"image": missing}, {"image": image}]
        sent = app.send_task("ocr.recognize_many", args=[{"items": items}], queue="gpu", priority=6)
        print(json.dumps(sent.get(timeout=60)))
        """,
    )
    assert isinstance(result, dict)
    texts = [item["result"] and item["result"]["rec_text"] for item in result["items"]]
    assert texts == ["page 7731", None, "page 7731"]
    assert result["items"][1]["error"]["code"] == "blob_not_found"


def test_a_page_is_read_with_its_options(service: Service, good_line: bytes) -> None:
    result = run_bare(
        service,
        good_line,
        """
        request = {"image": {**image, "input_path": "a.png"}, "orientation": False, "min_score": 0.1}
        sent = app.send_task("ocr.read", args=[request], queue="gpu")
        print(json.dumps(sent.get(timeout=60)))
        """,
    )
    assert isinstance(result, dict)
    (page,) = result["pages"]
    assert page["input_path"] == "a.png"
    assert "".join(page["rec_texts"]).replace(" ", "") == "page7731"


def test_a_failure_arrives_as_celery_sends_it(service: Service, good_line: bytes) -> None:
    result = run_bare(
        service,
        good_line,
        """
        sent = app.send_task("ocr.recognize", args=[{"image": image, "model": "nope"}], queue="gpu")
        while not sent.ready():
            time.sleep(0.01)
        meta = json.loads(redis.get(f"celery-task-meta-{sent.id}"))
        print(json.dumps([meta["status"], meta["result"], meta["traceback"]]))
        """,
    )
    assert isinstance(result, list)
    status, error, traceback = result
    assert status == "FAILURE"
    assert error["exc_type"] == "ModelUnknown"
    assert error["exc_module"] == "paddlewheel.errors"
    assert "nope" in error["exc_message"][0]
    assert traceback is None


def test_a_deadline_and_a_cancellation_need_no_client(service: Service, good_line: bytes) -> None:
    result = run_bare(
        service,
        good_line,
        """
        late = app.send_task(
            "ocr.recognize", args=[{"image": image}], queue="gpu", headers={"deadline": time.time() - 5}
        )
        known = "00000000-0000-4000-8000-000000000001"
        redis.set(f"paddlewheel:cancelled:{known}", 1, ex=60)
        redis.publish("paddlewheel:cancel", known)
        cancelled = app.send_task("ocr.recognize", args=[{"image": image}], queue="gpu", task_id=known)
        kinds = []
        for sent in (late, cancelled):
            while not sent.ready():
                time.sleep(0.01)
            kinds.append(json.loads(redis.get(f"celery-task-meta-{sent.id}"))["result"]["exc_type"])
        print(json.dumps(kinds))
        """,
    )
    assert result == ["DeadlineExceeded", "TaskCancelled"]


def test_a_plain_producer_keeps_a_gallery_of_faces(seeing: Service) -> None:
    result = run_bare(
        seeing,
        portraits(OBAMA)[0].read_bytes(),
        """
        def ask(name, queue, **request):
            return app.send_task(name, args=[request], queue=queue).get(timeout=120)

        item = {"image": image, "label": "Barack Obama"}
        built = ask("gallery.build", "gpu", gallery="bare", kind="faces", items=[item])
        known = ask("faces.identify", "gpu", image=image, gallery="bare")
        removed = ask("gallery.remove", "index", gallery="bare", labels=["Barack Obama"])
        described = ask("gallery.describe", "index", gallery="bare")
        print(json.dumps([built["outcomes"], known["faces"], removed["ids"], described["vectors"]]))
        """,
    )
    assert isinstance(result, list)
    (outcome,), (face,), ids, left = result
    assert outcome["status"] == "indexed"
    assert outcome["ids"] == ids
    assert face["recResults"][0]["label"] == OBAMA
    assert left == 0
