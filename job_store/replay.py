"""Enqueues a dead letter's request again, once its images are known to be there still."""

from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from job_store.batch_shards import BatchShards
from job_store.dead_letter import DeadLetterRecord
from job_store.dead_letter_store import DeadLetterStore, require_open
from paddlewheel.blobs.store import BlobStore
from paddlewheel.client import Client
from paddlewheel.contracts.base import ImageRef, Priority
from paddlewheel.contracts.batch_jobs import RUN_SHARD, RunShard
from paddlewheel.contracts.checking import explain
from paddlewheel.contracts.known_tasks import TASKS
from paddlewheel.errors import BatchJobNotFound, BatchJobState, BlobError, InvalidRequest
from paddlewheel.wire.messages import PRIORITIES

_SPECS: Final = {spec.name: spec for spec in (*TASKS, RUN_SHARD)}


class Replayer:
    """Replays letters through a client, as tasks of their own."""

    def __init__(
        self, letters: DeadLetterStore, shards: BatchShards, client: Client, blobs: BlobStore
    ) -> None:
        self._letters = letters
        self._shards = shards
        self._client = client
        self._blobs = blobs

    def replay(self, key: str) -> DeadLetterRecord:
        """The letter, closed, with the new task's id. A command that was cut short can be repeated.

        Raises DeadLetterNotFound, DeadLetterClosed, BlobError for an image that the store no longer has,
        InvalidRequest for a task that this version does not know, BatchJobNotFound and BatchJobState for the
        shard of a batch job that no longer wants it.
        """
        letter = self._letters.find(key)
        require_open(letter)
        spec = _SPECS.get(letter.name)
        if spec is None:
            raise InvalidRequest(f"This version has no task {letter.name}: replay it with the one that had.")
        try:
            request: BaseModel = spec.request.model_validate(letter.request)
        except ValidationError as err:
            raise InvalidRequest(explain(err)) from err
        if isinstance(request, RunShard):
            self._require_wanted(letter, request)
        self._require_images(letter)
        # The same key whenever the letter is replayed: a repetition adds no second task.
        pending = self._client.enqueue(
            spec,
            request,
            priority=_priority(letter),
            idempotency_key=f"dead-letter/{letter.history[-1].letter}",
        )
        return self._letters.mark_replayed(letter.number, pending.task_id)

    def _require_wanted(self, letter: DeadLetterRecord, request: RunShard) -> None:
        """Refuse a shard that its job no longer wants: its task would do nothing and look answered."""
        job, number = request.job, letter.number
        state, shard = self._shards.find_states(job, request.shard)
        discard = f"'paddlewheel dead discard {number}' closes the letter"
        if state is None:
            raise BatchJobNotFound(f"There is no batch job {job} any more: {discard}.")
        if state in ("cancelled", "failed"):
            raise BatchJobState(
                f"Batch job {job} is {state}: 'paddlewheel batch resume {job}' does all that is left of it, "
                f"this shard too, and {discard}."
            )
        if state != "running":
            raise BatchJobState(f"Batch job {job} is {state} and no longer wants this shard: {discard}.")
        if shard == "done":
            raise BatchJobState(f"Batch job {job} has done this shard: {discard}.")
        if shard is None:
            raise BatchJobState(f"Batch job {job} has split this shard and does its pieces: {discard}.")

    def _require_images(self, letter: DeadLetterRecord) -> None:
        for blob in dict.fromkeys(_blobs_of(letter.request)):
            try:
                self._blobs.get(ImageRef(blob=blob))
            except BlobError as err:
                raise type(err)(
                    f"Dead letter {letter.number} cannot be replayed: its image {blob} is not in the blob "
                    f"store any more ({err.code}). Put the image again, which keeps its name, and repeat."
                ) from err


def _blobs_of(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("blob"), str):
            yield value["blob"]
        for each in value.values():
            yield from _blobs_of(each)
    elif isinstance(value, list):
        for each in value:
            yield from _blobs_of(each)


def _priority(letter: DeadLetterRecord) -> Priority:
    priority = letter.headers.get("priority")
    return "bulk" if isinstance(priority, int) and priority >= PRIORITIES["bulk"] else "interactive"
