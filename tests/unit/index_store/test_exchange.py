"""PaddleX's folder, made here as paddlex 3.7.2 makes it, with FAISS alone."""

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
import yaml

from index_store.exchange import read_folder
from paddlewheel.errors import GalleryFolderInvalid
from tests.embeddings import random_embeddings

ROWS = random_embeddings(400, 16)
LABELS = [f"人 {number}" for number in range(400)]


def paddlex_folder(
    folder: Path, index_type: str, metric: str = "IP", rounds: int = 0, info: str = "id_map.yaml"
) -> Path:
    """A gallery of ROWS as PaddleX saves it, after so many removals of its first three vectors."""
    folder.mkdir()
    factory = f"IVF{len(ROWS) // 8},Flat" if index_type == "IVF" else index_type
    kind = faiss.METRIC_INNER_PRODUCT if metric == "IP" else faiss.METRIC_L2
    index: Any = faiss.IndexIDMap2(faiss.index_factory(16, factory, kind))
    index.train(ROWS)
    index.add_with_ids(ROWS, np.arange(len(ROWS), dtype=np.int64))
    id_map = dict(enumerate(LABELS))
    for number in range(rounds):
        ids = [3 * number, 3 * number + 1, 3 * number + 2]
        index.remove_ids(np.array(ids, np.int64))
        for gone in ids:
            del id_map[gone]
    faiss.write_index(index, str(folder / "vector.index"))
    content = {"id_map": id_map, "index_type": index_type, "metric_type": metric}
    (folder / info).write_text(yaml.dump(content, allow_unicode=True), encoding="utf-8")
    return folder


@pytest.mark.parametrize("info", ["id_map.yaml", "index_info.yaml"])
@pytest.mark.parametrize("metric", ["IP", "L2"])
@pytest.mark.parametrize("index_type", ["Flat", "IVF", "HNSW32"])
def test_every_paddlex_gallery_is_read_bit_by_bit(
    tmp_path: Path, index_type: str, metric: str, info: str
) -> None:
    found = read_folder(paddlex_folder(tmp_path / "g", index_type, metric, info=info))
    assert (found.index_type, found.metric, found.repaired) == (index_type, metric, False)
    np.testing.assert_array_equal(found.embeddings, ROWS)
    assert list(found.labels) == LABELS


def test_a_flat_gallery_after_removals_keeps_its_labels(tmp_path: Path) -> None:
    found = read_folder(paddlex_folder(tmp_path / "g", "Flat", rounds=2))
    np.testing.assert_array_equal(found.embeddings, ROWS[6:])
    assert list(found.labels) == LABELS[6:]


def test_an_ivf_gallery_that_one_removal_shifted_is_put_right(tmp_path: Path) -> None:
    found = read_folder(paddlex_folder(tmp_path / "g", "IVF", rounds=1))
    assert found.repaired
    np.testing.assert_array_equal(found.embeddings, ROWS[3:])
    assert list(found.labels) == LABELS[3:]


def test_an_ivf_gallery_with_repeated_inner_ids_is_refused(tmp_path: Path) -> None:
    folder = paddlex_folder(tmp_path / "g", "IVF", rounds=1)
    index: Any = faiss.read_index(str(folder / "vector.index"))
    index.add_with_ids(ROWS[:3], np.arange(400, 403, dtype=np.int64))  # an append after the removal
    faiss.write_index(index, str(folder / "vector.index"))
    info = yaml.safe_load((folder / "id_map.yaml").read_text(encoding="utf-8"))
    info["id_map"] |= {400: "a", 401: "b", 402: "c"}
    (folder / "id_map.yaml").write_text(yaml.dump(info), encoding="utf-8")
    with pytest.raises(GalleryFolderInvalid, match="damaged beyond repair"):
        read_folder(folder)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "neither"),
        ("id_map: [1", "not YAML"),
        ("- 1", "no mapping"),
        ("id_map: {0: a}\nindex_type: Flat\nmetric_type: IP", "ids are not the same"),
        ("id_map: {x: a}", "not a whole number"),
        ("id_map: {0: a}\nindex_type: LSH", "index_type"),
        ("id_map: {0: a}\nmetric_type: hamming", "metric_type"),
        ("id_map: {0: a}\nmetric_type: L2", "metric L2"),
        ("id_map: !!python/object/apply:os.getcwd []", "not YAML"),
    ],
)
def test_a_folder_that_is_no_gallery_is_refused_with_the_reason(
    tmp_path: Path, content: str | None, what: str
) -> None:
    folder = paddlex_folder(tmp_path / "g", "Flat")
    (folder / "id_map.yaml").unlink()
    if content is not None:
        (folder / "id_map.yaml").write_text(content)
    with pytest.raises(GalleryFolderInvalid, match=what):
        read_folder(folder)


def test_a_folder_without_an_index_or_with_a_torn_one_is_refused(tmp_path: Path) -> None:
    folder = paddlex_folder(tmp_path / "g", "Flat")
    path = folder / "vector.index"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(GalleryFolderInvalid, match="not an index"):
        read_folder(folder)
    path.unlink()
    with pytest.raises(GalleryFolderInvalid, match="no file"):
        read_folder(folder)
