"""The contract of every client, over a real Valkey; the same handlers answer as in the in-memory client."""

from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from paddlewheel import Client
from paddlewheel.blobs.opening import open_blob_store
from paddlewheel.blobs.store import BlobStore
from paddlewheel.contracts.base import ImageRef
from paddlewheel.contracts.image_tasks import BULK_SPECS
from paddlewheel.contracts.known_tasks import TASKS
from paddlewheel.errors import PaddlewheelError
from tests.client_contract import HANDLERS, ClientContract
from tests.conftest import RunningServer
from tests.integration.client.answering import Answerer

SPECS = {spec.name: spec for spec in TASKS}
ANSWERS = {spec.name: handler for spec, handler in HANDLERS.items()}
CARRIED = {carrier.name: name for name, carrier in BULK_SPECS.items()}


class Handling(Answerer):
    """Answers each task by its handler, once its image has been loaded."""

    def __init__(self, url: str, blobs: BlobStore) -> None:
        super().__init__(url, self._handle)
        self._blobs = blobs

    def _reply(self, message: dict[str, Any]) -> None:
        self._name = message["headers"]["task"]
        super()._reply(message)

    def _handle(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._name in CARRIED:
            return {"items": [self._item(CARRIED[self._name], item) for item in request["items"]]}
        return self._one(self._name, request)

    def _item(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"result": self._one(name, request)}
        except PaddlewheelError as err:
            return {"error": {"code": err.code, "message": err.message}}

    def _one(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        if "image" in request:
            self._blobs.get(ImageRef.model_validate(request["image"]))
        handler: Any = ANSWERS[name]
        result: dict[str, Any] = handler(SPECS[name].request.model_validate(request)).model_dump(mode="json")
        return result


class TestClient(ClientContract):
    @pytest.fixture
    def client(self, valkey: RunningServer) -> Iterator[Client]:
        with Redis.from_url(valkey.url) as redis:
            redis.flushall()
        blobs = open_blob_store(valkey.url, ttl=600, max_bytes=1_000_000)
        with Client(valkey.url) as client, Handling(valkey.url, blobs):
            yield client
        blobs.close()
