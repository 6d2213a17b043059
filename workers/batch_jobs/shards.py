"""One shard of a batch job: its lines through the models, and what they became into a part file."""

import hashlib
import logging
import secrets
import time
from collections.abc import Sequence
from itertools import islice
from typing import Final

from job_store.batch_jobs import BatchJob
from job_store.batch_shards import BatchShards, ClaimedShard, ShardOutput
from paddlewheel.contracts.base import ItemError
from paddlewheel.contracts.batch_jobs import RanShard, RunShard, build_item
from paddlewheel.errors import (
    AddressNotFound,
    DatabaseUnavailable,
    InternalError,
    ManifestChanged,
    PaddlewheelError,
    TaskCancelled,
    WorkerLost,
)
from tasks.context import TaskContext
from workers.batch_jobs.inputs import Inputs
from workers.batch_jobs.leases import Leases
from workers.batch_jobs.lines import error_line, is_error, result_line
from workers.batch_jobs.manifest import ManifestLine, digest_of, read_lines, split_shard
from workers.batch_jobs.models import BatchModels
from workers.batch_jobs.places import AllowedRoots, BatchFile
from workers.images.prefetch import PrefetchingBlobStore

PORTION: Final = 32
"""Images that wait for the models together."""

LOSSES_BEFORE_SPLIT: Final = 2
"""Workers that a shard may cost before it is split, so that its lines run with fewer others."""

LOSSES_OF_A_LINE: Final = 3
"""Workers that one line alone may cost before it fails."""

PIECES: Final = 10

TRIES_BEFORE_BLAME: Final = 3
"""Failed runs of a shard after which images that the store does not return fail their own lines."""

PAUSES: Final = (0.5, 1.0, 2.0, 4.0)
"""Seconds between attempts to record that a shard is done: running it again would cost more."""

log = logging.getLogger(__name__)


def parts_folder(sink: BatchFile, job: BatchJob) -> BatchFile:
    """Where the parts of a job are until its sink is written: beside it."""
    return sink.beside(f".parts-{job.id}")


class ShardRunner:
    """Runs shards. A duplicate delivery costs one query."""

    def __init__(
        self,
        shards: BatchShards,
        leases: Leases,
        models: BatchModels,
        inputs: Inputs,
        roots: AllowedRoots,
        blobs: PrefetchingBlobStore,
    ) -> None:
        self._shards = shards
        self._leases = leases
        self._models = models
        self._inputs = inputs
        self._roots = roots
        self._blobs = blobs

    def run(self, request: RunShard, task: TaskContext) -> RanShard:
        """Run a shard, unless it is done, claimed elsewhere or cancelled. Raises DatabaseUnavailable."""
        claimed = self._shards.claim(request.job, request.shard, task.task_id, self._leases.seconds)
        if claimed is None:
            return RanShard(state="skipped")
        with self._leases.hold(claimed):
            try:
                return self._run_claimed(claimed, task)
            except TaskCancelled:
                self._shards.give_back(claimed, None)
                return RanShard(state="skipped")
            except DatabaseUnavailable:
                raise
            except PaddlewheelError as err:
                log.warning("shard %d of batch job %s failed: %s", request.shard, request.job, err.message)
                self._shards.give_back(claimed, err)
                return RanShard(state="failed")
            except Exception:
                log.exception("shard %d of batch job %s failed unexpectedly", request.shard, request.job)
                self._shards.give_back(claimed, InternalError("An unexpected error; a worker's log has it."))
                return RanShard(state="failed")

    def _run_claimed(self, claimed: ClaimedShard, task: TaskContext) -> RanShard:
        sink = self._roots.place(claimed.job.sink)
        folder = parts_folder(sink, claimed.job)
        if claimed.part is not None and claimed.losses >= LOSSES_BEFORE_SPLIT:
            # Its failed lines cost workers: they stay failed.
            self._shards.complete(claimed, claimed.part)
            return RanShard(state="skipped")
        manifest = self._roots.place(claimed.job.manifest)
        lines = self._read_lines(claimed, manifest)
        if claimed.part is None and len(lines) > 1 and claimed.losses >= LOSSES_BEFORE_SPLIT:
            self._shards.split(claimed, split_shard(claimed.plan, lines, PIECES))
            return RanShard(state="split")
        addresses = [line.address for line in lines]
        made = self._make_lines(claimed, addresses, manifest, folder, task)
        return self._complete(claimed, folder, made)

    def _read_lines(self, claimed: ClaimedShard, manifest: BatchFile) -> list[ManifestLine]:
        plan = claimed.plan
        data = manifest.read_range(plan.begin_byte, plan.end_byte)
        lines = list(read_lines([data], plan.begin_byte))
        if digest_of(line.address for line in lines) != plan.digest:
            raise ManifestChanged(f"The manifest of batch job {claimed.job.id} is not what it was.")
        return lines

    def _make_lines(
        self,
        claimed: ClaimedShard,
        addresses: Sequence[bytes],
        manifest: BatchFile,
        folder: BatchFile,
        task: TaskContext,
    ) -> list[bytes]:
        """The result lines of all addresses; lines that an earlier run completed are kept."""
        made = self._read_part(claimed, folder) or [b""] * len(addresses)
        if claimed.part is None and claimed.losses >= LOSSES_OF_A_LINE:
            lost = WorkerLost(f"{claimed.losses} workers were lost while they worked on this image.")
            return [error_line(each, ItemError(code=lost.code, message=lost.message)) for each in addresses]
        rest = iter([place for place, line in enumerate(made) if not line])
        while portion := list(islice(rest, PORTION)):
            self._leases.check(claimed)
            task.check()
            chosen = [addresses[place] for place in portion]
            for place, line in zip(
                portion, self._answer_portion(claimed, chosen, manifest, task), strict=True
            ):
                made[place] = line
        return made

    def _read_part(self, claimed: ClaimedShard, folder: BatchFile) -> list[bytes] | None:
        if claimed.part is None:
            return None
        data = folder.beside(f"/{claimed.part.name}").read(claimed.part.bytes)
        if hashlib.sha256(data).hexdigest() != claimed.part.digest:
            raise AddressNotFound(
                f"A part of batch job {claimed.job.id} is not what it was: submit it again."
            )
        return [b"" if is_error(line) else line for line in data.splitlines(keepends=True)]

    def _answer_portion(
        self, claimed: ClaimedShard, addresses: Sequence[bytes], manifest: BatchFile, task: TaskContext
    ) -> list[bytes]:
        job = claimed.job
        with self._blobs.lend([self._inputs.source(each, manifest) for each in addresses]) as images:
            requests = [build_item(job.task, job.options, image) for image in images]
            answers = self._models.answers(
                job.task, requests, task, blame=claimed.failures >= TRIES_BEFORE_BLAME
            )
        return [
            error_line(address, answer) if isinstance(answer, ItemError) else result_line(address, answer)
            for address, answer in zip(addresses, answers, strict=True)
        ]

    def _complete(self, claimed: ClaimedShard, folder: BatchFile, made: Sequence[bytes]) -> RanShard:
        data = b"".join(made)
        failed = sum(map(is_error, made))
        part = ShardOutput(
            # Each run has a name of its own: a second one must not overwrite what the first has reported.
            name=f"{claimed.plan.first_line:012d}-{secrets.token_hex(4)}.part",
            bytes=len(data),
            digest=hashlib.sha256(data).hexdigest(),
            failed_lines=failed,
        )
        self._leases.check(claimed)
        folder.beside(f"/{part.name}").write(data)
        if not self._note_done(claimed, part):
            folder.beside(f"/{part.name}").remove()
            return RanShard(state="skipped")
        if claimed.part is not None:
            folder.beside(f"/{claimed.part.name}").remove()
        return RanShard(state="done", lines=len(made), failed_lines=failed)

    def _note_done(self, claimed: ClaimedShard, part: ShardOutput) -> bool:
        for pause in PAUSES:
            try:
                return self._shards.complete(claimed, part)
            except DatabaseUnavailable as err:
                log.warning("a finished shard is not noted yet: %s", err.message)
                time.sleep(pause)
        return self._shards.complete(claimed, part)
