"""PaddleX's folder in and out of a real gallery."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import faiss
import numpy as np
import pytest
import yaml
from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]

from database.pool import Database
from index_store.exchange import ForeignType
from index_store.gallery import Gallery, GallerySpec, Metric
from index_store.gallery_lookup import find_gallery
from index_store.indexes import write_index
from index_store.planning import SealingPolicy
from index_store.store import GalleryStore
from paddlewheel.contracts.base import ImageRef
from paddlewheel.contracts.galleries import AppendGallery, ExportGallery, LabelledImage
from paddlewheel.errors import (
    ConfigurationError,
    GalleryExists,
    GalleryFolderInvalid,
    SegmentStoreUnavailable,
)
from paddlewheel.sources.label_list import read_remove_ids
from tasks.context import TaskContext
from tests.embeddings import random_embeddings
from workers.services.galleries import GalleryService
from workers.services.gallery_images import EmbeddedImages

ROWS = random_embeddings(300, 16)
LABELS = [f"人 {number}" for number in range(300)]
FINGERPRINT = "images/model@0123456789abcdef"
PUT = "fsspec.implementations.memory.MemoryFileSystem.put_file"


class StoreError(Exception):
    """The libraries of stores have errors of their own kind."""


@pytest.mark.parametrize("metric", ["IP", "L2"])
@pytest.mark.parametrize("index_type", ["Flat", "IVF", "HNSW32"])
def test_a_gallery_goes_out_as_paddlex_loads_it_and_comes_back(
    store: GalleryStore, key: str, tmp_path: Path, index_type: ForeignType, metric: Metric
) -> None:
    spec = GallerySpec(dimension=16, metric=metric, index_type=index_type, precision="fp32")
    ids = store.build(key, spec, ROWS, LABELS).ids
    store.remove(key, ids=ids[:5])
    assert store.export_to(key, tmp_path / "g") == 295
    index: Any = faiss.read_index(str(tmp_path / "g" / "vector.index"))
    info = yaml.safe_load((tmp_path / "g" / "id_map.yaml").read_text(encoding="utf-8"))
    assert set(info) == {"id_map", "index_type", "metric_type"}
    assert (info["index_type"], info["metric_type"]) == (index_type, metric)
    assert index.ntotal == len(info["id_map"])
    assert isinstance(index, faiss.IndexIDMap2)
    _, found = index.search(ROWS[200:220], 1)
    assert np.mean([info["id_map"][int(row)] for row in found[:, 0]] == np.array(LABELS[200:220])) >= 0.9
    imported = store.import_from(f"{key}-back", tmp_path / "g", precision="fp32")
    assert imported.spec == spec
    records = store.list_vectors(f"{key}-back", limit=1000)
    assert [record.label for record in records] == LABELS[5:]
    np.testing.assert_array_equal([record.embedding for record in records], ROWS[5:])


def test_ids_of_an_imported_folder_can_still_be_removed(
    store: GalleryStore, key: str, tmp_path: Path
) -> None:
    store.build(key, GallerySpec(dimension=16), ROWS, LABELS)
    store.export_to(key, tmp_path / "g")
    store.import_from(f"{key}-back", tmp_path / "g")
    old_ids = [record.id for record in store.list_vectors(key, limit=3)]
    (tmp_path / "remove_ids.txt").write_text("".join(f"{number}\n" for number in old_ids))
    listed = read_remove_ids(tmp_path / "remove_ids.txt")
    removed = store.remove(f"{key}-back", external_ids=[str(number) for number in listed])
    assert len(removed.ids) == 3
    assert store.list_vectors(f"{key}-back", limit=1)[0].label == LABELS[3]


def test_an_import_can_be_repeated_but_not_over_another_gallery(
    store: GalleryStore, key: str, tmp_path: Path
) -> None:
    store.build(key, GallerySpec(dimension=16), ROWS, LABELS)
    store.export_to(key, tmp_path / "g")
    first = store.import_from(f"{key}-back", tmp_path / "g", operation_id="import")
    again = store.import_from(f"{key}-back", tmp_path / "g", operation_id="import")
    assert (again.appended.ids, again.appended.repeated) == (first.appended.ids, True)
    with pytest.raises(GalleryExists):
        store.import_from(key, tmp_path / "g")


def test_an_export_never_writes_over_a_folder_and_leaves_no_half(
    store: GalleryStore, key: str, tmp_path: Path
) -> None:
    store.create(key, GallerySpec(dimension=16))
    (tmp_path / "taken").mkdir()
    with pytest.raises(GalleryFolderInvalid):
        store.export_to(key, tmp_path / "taken")
    assert store.export_to(key, tmp_path / "empty") == 0
    assert {path.name for path in tmp_path.iterdir()} >= {"taken", "empty"}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_small_ivf_gallery_goes_out_as_one_that_can_be_searched(
    store: GalleryStore, key: str, tmp_path: Path
) -> None:
    store.build(key, GallerySpec(dimension=16, index_type="IVF"), ROWS[:7], LABELS[:7])
    store.export_to(key, tmp_path / "g")
    info = yaml.safe_load((tmp_path / "g" / "id_map.yaml").read_text(encoding="utf-8"))
    assert info["index_type"] == "Flat"


def test_a_gallery_goes_through_an_object_store_whole(store: GalleryStore, key: str) -> None:
    store.build(key, GallerySpec(dimension=16), ROWS, LABELS)
    url = f"memory://galleries/{key}"
    assert store.export_to(key, url) == 300
    with pytest.raises(GalleryFolderInvalid, match="exists already"):
        store.export_to(key, url)
    store.import_from(f"{key}-back", url)
    assert [record.label for record in store.list_vectors(f"{key}-back", limit=1000)] == LABELS
    with pytest.raises(GalleryFolderInvalid, match=r"no file vector\.index"):
        store.import_from(f"{key}-none", f"{url}-none")


class OneRow:
    """Embeds every image as the first row, without a model."""

    def embedder(self, *_: object) -> SimpleNamespace:
        return SimpleNamespace(fingerprint=FINGERPRINT)

    def embed(self, *_: object, **__: object) -> EmbeddedImages:
        note = {"outcomes": [("indexed", 1, None)]}
        return EmbeddedImages(rows=ROWS[:1], labels=("new",), external_ids=("x",), note=note)


def test_an_append_of_images_looks_its_gallery_up_once(
    store: GalleryStore, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.build(key, GallerySpec(dimension=16, model_fingerprint=FINGERPRINT), ROWS, LABELS)
    images = cast(Any, OneRow())
    galleries = GalleryService(
        store, cast(Any, None), images, policy=SealingPolicy(), exchange="memory://exports"
    )
    lookups: list[str] = []

    def counted(database: Database, key: str) -> Gallery:
        lookups.append(key)
        return find_gallery(database, key)

    monkeypatch.setattr("index_store.gallery_rows.find_gallery", counted)
    item = LabelledImage(image=ImageRef(blob=f"sha256:{'0' * 64}"), label="new")
    added = galleries.append(AppendGallery(gallery=key, items=(item,)), TaskContext(task_id="t"))
    assert added.outcomes[0].status == "indexed"
    assert lookups == [key]


def test_an_export_that_was_cut_off_is_written_whole_when_it_is_delivered_again(
    store: GalleryStore, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.build(key, GallerySpec(dimension=16), ROWS, LABELS)
    galleries = GalleryService(
        store,
        cast(Any, None),
        cast(Any, None),
        policy=SealingPolicy(),
        exchange="memory://exports",
    )
    request, task = ExportGallery(gallery=key, operation_id="nightly"), TaskContext(task_id="t")
    put = MemoryFileSystem.put_file

    def dying(files: MemoryFileSystem, local: str, remote: str) -> None:
        if remote.endswith(".yaml"):
            raise SystemExit("the worker is killed between the two files")
        put(files, local, remote)

    with monkeypatch.context() as killed, pytest.raises(SystemExit):
        killed.setattr(PUT, dying)
        galleries.export(request, task)
    with pytest.raises(GalleryFolderInvalid, match="neither"):
        store.import_from(f"{key}-half", f"memory://exports/{key}-nightly")
    exported = galleries.export(request, task)
    assert exported.vectors == 300
    assert galleries.export(request, task).vectors is None
    store.import_from(f"{key}-back", f"memory://exports/{exported.folder}")
    assert [record.label for record in store.list_vectors(f"{key}-back", limit=1000)] == LABELS


def test_a_place_that_cannot_be_used_is_reported_with_the_reason(
    store: GalleryStore, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.build(key, GallerySpec(dimension=16), ROWS, LABELS)
    (tmp_path / "file").write_text("no folder")
    wrongs: tuple[tuple[Path | str, type[Exception], str], ...] = (
        (tmp_path / "file" / "g", SegmentStoreUnavailable, "file/g cannot be used"),
        (f"file://{tmp_path}/file/g", SegmentStoreUnavailable, "file/g cannot be used"),
        ("nothing-known://g", ConfigurationError, "Protocol not known"),
        ("dropbox://g", ConfigurationError, "cannot be used as a place of galleries"),
    )
    for place, error, reason in wrongs:
        with pytest.raises(error, match=reason):
            store.export_to(key, place)
    for place in ("nothing-known://g", "dropbox://g"):
        with pytest.raises(ConfigurationError):
            store.import_from(f"{key}-back", place)

    def failing(*arguments: object) -> None:
        raise StoreError(arguments)

    monkeypatch.setattr(PUT, failing)
    with pytest.raises(SegmentStoreUnavailable, match="StoreError"):
        store.export_to(key, f"memory://galleries/{key}-refused")


def test_a_file_url_is_a_folder_that_appears_in_one_step(
    store: GalleryStore, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.build(key, GallerySpec(dimension=16), ROWS, LABELS)
    url = f"file://{tmp_path}/out/g"

    def overtaken(index: Any, path: Path) -> None:
        with monkeypatch.context() as other:
            other.setattr("index_store.exchange.write_index", write_index)
            store.export_to(key, url)
        write_index(index, path)

    monkeypatch.setattr("index_store.exchange.write_index", overtaken)
    with pytest.raises(GalleryFolderInvalid, match="exists already"):
        store.export_to(key, url)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["g"]
    assert store.import_from(f"{key}-back", url).spec.dimension == 16


def test_exports_and_imports_tell_how_far_they_have_come(
    store: GalleryStore, key: str, tmp_path: Path
) -> None:
    store.build(key, GallerySpec(dimension=16), ROWS, LABELS)
    reported: list[tuple[str, int, int]] = []
    store.export_to(key, tmp_path / "g", progress=lambda *step: reported.append(step))
    assert reported[0] == ("read", 0, 300)
    assert reported[-1] == ("write", 300, 300)
    assert ("index", 300, 300) in reported
    reported.clear()
    store.import_from(f"{key}-back", tmp_path / "g", progress=lambda *step: reported.append(step))
    assert reported == [("read", 0, 1), ("store", 0, 300), ("store", 300, 300)]
