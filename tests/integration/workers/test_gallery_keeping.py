"""A worker's galleries beside a real Postgres that comes late, and with files that are kept in order."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from database.migration import migrate
from index_store.gallery import GallerySpec
from index_store.planning import SealingPolicy
from paddlewheel.errors import ConfigurationError, DatabaseUnavailable, PaddlewheelError
from tests.postgres import PostgresServer
from tests.waiting import wait_for
from workers.services import gallery_maintenance as gallery_keeping
from workers.services.gallery_maintenance import GalleryMaintainer

SPEC = GallerySpec(dimension=4)
ROWS = np.eye(4, dtype=np.float32)
AT_ONCE = SealingPolicy(idle=timedelta(0))


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.close()


def test_a_database_that_comes_late_is_waited_for(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery_keeping, "MIGRATION_SECONDS", 0.05)
    server.stop()
    maintainer = GalleryMaintainer(server.url(), str(tmp_path), tmp_path, policy=AT_ONCE, maintain=False)
    maintainer.start()
    with pytest.raises(DatabaseUnavailable):
        maintainer.store.create("late", SPEC)
    server.start()

    def created() -> bool:
        try:
            maintainer.store.create("late", SPEC)
        except PaddlewheelError:
            return False
        return True

    wait_for(created)
    maintainer.close()


def test_galleries_are_sealed_in_the_background(server: PostgresServer, tmp_path: Path) -> None:
    maintainer = GalleryMaintainer(server.url(), str(tmp_path), tmp_path, policy=AT_ONCE, maintain=False)
    maintainer.start()
    maintainer.store.build("kept", SPEC, ROWS, list("abcd"))
    maintainer.close()
    maintaining = GalleryMaintainer(server.url(), str(tmp_path), tmp_path, policy=AT_ONCE, maintain=True)
    maintaining.start()
    wait_for(lambda: maintaining.store.describe("kept").unsealed == 0)
    assert len(list(tmp_path.iterdir())) == 1
    maintaining.close()


def test_a_worker_that_only_searches_deletes_its_copies_of_deleted_files(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery_keeping, "MAINTENANCE_SECONDS", 0.05)
    url, copies = f"file://{tmp_path / 'volume'}", tmp_path / "copies of one that searches"
    at_once = replace(AT_ONCE, grace=timedelta(0))
    maintainer = GalleryMaintainer(server.url(), url, tmp_path / "copies", policy=at_once, maintain=True)
    searching = GalleryMaintainer(server.url(), url, copies, policy=at_once, maintain=False)
    for each in (maintainer, searching):
        each.start()
    maintainer.store.build("copied", SPEC, ROWS, list("abcd"))
    wait_for(lambda: maintainer.store.describe("copied").unsealed == 0)
    searching.store.search("copied", ROWS)
    (segment,) = maintainer.store.describe("copied").segments
    assert segment.file is not None
    assert (copies / segment.file).exists()
    long_ago = time.time() - 3600
    os.utime(copies / segment.file, (long_ago, long_ago))
    maintainer.store.delete("copied")
    wait_for(lambda: not (copies / str(segment.file)).exists())
    for each in (maintainer, searching):
        each.close()


def test_the_tables_are_waited_for_whatever_fails(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pause in ("MIGRATION_SECONDS", "REFUSAL_SECONDS"):
        monkeypatch.setattr(gallery_keeping, pause, 0.05)
    failures: list[Exception] = [DatabaseUnavailable("It is away."), OSError("It is odd.")]

    def migrate_later(url: str) -> None:
        if failures:
            raise failures.pop(0)
        migrate(url)

    monkeypatch.setattr(gallery_keeping, "migrate", migrate_later)
    maintainer = GalleryMaintainer(server.url(), str(tmp_path), tmp_path, policy=AT_ONCE, maintain=True)
    maintainer.start()
    wait_for(lambda: not failures)
    maintainer.store.build("waiting", SPEC, ROWS, list("abcd"))
    wait_for(lambda: maintainer.store.describe("waiting").unsealed == 0)
    maintainer.close()


def test_tables_that_refuse_this_version_end_the_start(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse = Mock(side_effect=ConfigurationError("The tables are of a newer version."))
    monkeypatch.setattr(gallery_keeping, "migrate", refuse)
    maintainer = GalleryMaintainer(server.url(), str(tmp_path), tmp_path, policy=AT_ONCE, maintain=True)
    with pytest.raises(ConfigurationError, match="newer version"):
        maintainer.start()
    maintainer.close()


def test_files_need_a_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="place"):
        GalleryMaintainer("postgresql://nobody@127.0.0.1:1/none", "", tmp_path, policy=AT_ONCE, maintain=True)
