"""What the commands of `index_store.cli` share: the store they open, and errors told as one sentence."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import click
from rich.console import Console

from api_client.errors import CallerError, PaddlewheelError
from index_store.database import Database
from index_store.garbage import GarbageCollector
from index_store.planning import SealingPolicy
from index_store.sealing import Sealer, Step
from index_store.segment_folder import SegmentFiles, SegmentFolder
from index_store.segment_objects import SegmentObjects
from index_store.store import GalleryStore

P = ParamSpec("P")
T = TypeVar("T")


class Opening:
    """How a command opens its store, as the options of the group say."""

    def __init__(self, url: str | None, segments: str, copies: Path | None, policy: SealingPolicy) -> None:
        self._url = url
        self.segments = segments
        self.copies = copies
        self.policy = policy
        self.console = Console()

    @property
    def url(self) -> str:
        """The database; asked for by commands, and not by their --help."""
        if not self._url:
            raise click.UsageError(
                "No database: give --database-url, set PADDLEWHEEL_DATABASE_URL or 'make up' in a checkout."
            )
        return self._url

    @contextmanager
    def store(self) -> Iterator[GalleryStore]:
        """A store over the database and the files that the options name."""
        database = Database(self.url)
        try:
            yield GalleryStore(database, self._files())
        finally:
            database.close()

    def sealer(self, store: GalleryStore, on_step: Callable[[Step], None]) -> Sealer:
        """A sealer with the policy of the options."""
        return Sealer(database=store.database, files=store.files, policy=self.policy, on_step=on_step)

    def collector(self, store: GalleryStore) -> GarbageCollector:
        """A collector with the policy of the options."""
        return GarbageCollector(database=store.database, files=store.files, policy=self.policy)

    def _files(self) -> SegmentFiles:
        if "://" not in self.segments:
            return SegmentFolder(Path(self.segments))
        if self.copies is None:
            raise click.UsageError("Segments in an object store need --copies, a local folder.")
        return SegmentObjects(self.segments, self.copies)


class _Failure(click.ClickException):
    def __init__(self, error: PaddlewheelError) -> None:
        super().__init__(f"{error.message} [{error.code}]")
        self.exit_code = 1 if isinstance(error, CallerError) else 2  # type: ignore[misc]


def told(command: Callable[P, T]) -> Callable[P, T]:
    """Errors as one sentence: exit code 1 where the caller can act, 2 where the operator can."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except PaddlewheelError as err:
            raise _Failure(err) from err

    return wrapped
