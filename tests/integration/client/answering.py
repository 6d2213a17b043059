"""A worker's side of the protocol in a thread: takes messages from a real broker, answers as Celery does."""

import base64
import json
import threading
from collections.abc import Callable
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

LISTS = ("gpu", "index", "gpu\x06\x166", "index\x06\x166")


class Answerer:
    """`answer` maps a task's request to its result; an exception becomes the failure that Celery stores."""

    def __init__(self, url: str, answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self._redis = Redis.from_url(url)
        self._answer = answer
        self._stop = threading.Event()
        self.taken: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> "Answerer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._redis.close()

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                found = self._redis.brpop(list(LISTS), timeout=0.1)
                if found is not None:
                    self._reply(json.loads(found[1]))
            except RedisError:
                self._stop.wait(0.05)

    def _reply(self, message: dict[str, Any]) -> None:
        self.taken.append(message)
        ((request,), _, _) = json.loads(base64.b64decode(message["body"]))
        record: dict[str, Any] = {"task_id": message["headers"]["id"], "traceback": None, "children": []}
        try:
            record |= {"status": "SUCCESS", "result": self._answer(request)}
        except Exception as err:
            failure = {
                "exc_type": type(err).__name__,
                "exc_message": list(err.args),
                "exc_module": type(err).__module__,
            }
            record |= {"status": "FAILURE", "result": failure}
        key = f"celery-task-meta-{record['task_id']}"
        raw = json.dumps(record)
        pipeline = self._redis.pipeline()
        pipeline.set(key, raw, ex=60)
        pipeline.publish(key, raw)
        pipeline.execute()
