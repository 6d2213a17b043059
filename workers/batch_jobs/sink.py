"""The result file of a finished batch job: its parts in the order of the manifest, written once and whole."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from job_store.batch_jobs import BatchJob
from job_store.batch_shards import BatchShards, ShardOutput
from paddlewheel.errors import AddressNotFound, PlaceUnavailable, SinkExists
from workers.batch_jobs.places import BatchFile
from workers.batch_jobs.shards import parts_folder

CHUNK: Final = 1 << 20


def write_sink(job: BatchJob, sink: BatchFile, shards: BatchShards) -> str:
    """Join the parts; the result's SHA-256 (hex). An interrupted call can be repeated.

    Raises SinkExists, AddressNotFound for a part that is gone or damaged, PlaceUnavailable.
    """
    try:
        place, prefix = sink.scratch(), f".batch-{job.id}-"
        _remove_leftovers(place, prefix)
        with tempfile.TemporaryDirectory(dir=place, prefix=prefix) as scratch:
            whole = Path(scratch) / "result"
            digest = _join(whole, parts_folder(sink, job), _parts(job, shards))
            _publish(job, sink, whole, digest)
    except OSError as err:
        raise PlaceUnavailable(f"The result cannot be put together: {err.strerror or err}.") from err
    return digest


def _remove_leftovers(place: Path | None, prefix: str) -> None:
    """Remove the scratch folders of a scheduler that was killed while it wrote."""
    for left in place.glob(f"{prefix}*") if place else ():
        shutil.rmtree(left, ignore_errors=True)


def _publish(job: BatchJob, sink: BatchFile, whole: Path, digest: str) -> None:
    # What the job itself wrote before its failed lines were done again may be replaced.
    own = job.sink_digest is not None and _digest(sink) == job.sink_digest
    if not sink.publish(whole, replace=job.overwrite or own) and _digest(sink) != digest:
        raise SinkExists(f"There is a file at {job.sink} already, which the job must not overwrite.")


def _join(whole: Path, folder: BatchFile, parts: Iterable[ShardOutput]) -> str:
    digest = hashlib.sha256()
    with whole.open("xb") as file:
        for part in parts:
            data = folder.beside(f"/{part.name}").read(part.bytes)
            if hashlib.sha256(data).hexdigest() != part.digest:
                raise AddressNotFound(f"The part {part.name} of the result is damaged: submit the job again.")
            digest.update(data)
            file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _parts(job: BatchJob, shards: BatchShards) -> Iterator[ShardOutput]:
    after = -1
    while page := shards.parts(job.id, after):
        yield from (part for _, part in page)
        after = page[-1][0]


def _digest(sink: BatchFile) -> str | None:
    digest = hashlib.sha256()
    try:
        for chunk in sink.chunks(CHUNK):
            digest.update(chunk)
    except AddressNotFound:
        return None
    return digest.hexdigest()
