"""Segment files in a folder and behind fsspec: one contract, and the checked local copy."""

import os
import shutil
import time
import uuid
from hashlib import sha256
from pathlib import Path

import pytest

from index_store.segment_folder import SegmentFiles, SegmentFolder
from index_store.segment_objects import SegmentObjects
from paddlewheel.errors import SegmentCorrupt, SegmentStoreUnavailable

NAME = "00000000-0000-4000-8000-000000000000.segment"
CONTENT = b"bytes of a segment" * 100
DIGEST = sha256(CONTENT).hexdigest()


@pytest.fixture(params=["folder", "volume", "memory"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> SegmentFiles:
    if request.param == "folder":
        return SegmentFolder(tmp_path / "files")
    url = f"file://{tmp_path / 'volume'}" if request.param == "volume" else f"memory://{uuid.uuid4()}"
    return SegmentObjects(url, tmp_path / "copies")


def publish(files: SegmentFiles, content: bytes = CONTENT) -> None:
    files.scratch(NAME).write_bytes(content)
    files.publish(NAME)


def test_a_published_file_is_fetched_listed_and_deleted(files: SegmentFiles) -> None:
    publish(files)
    assert files.fetch(NAME, len(CONTENT), DIGEST).read_bytes() == CONTENT
    assert [name for name, _ in files.names()] == [NAME]
    assert not files.scratch(NAME).exists()
    files.delete(NAME)
    files.delete(NAME)
    assert list(files.names()) == []
    with pytest.raises(SegmentCorrupt):
        files.fetch(NAME, len(CONTENT), DIGEST)


def test_a_file_of_another_content_is_refused(files: SegmentFiles) -> None:
    publish(files, CONTENT[:-1] + b"x")
    with pytest.raises(SegmentCorrupt):
        files.fetch(NAME, len(CONTENT), DIGEST)


def test_a_scratch_file_is_not_listed_and_goes_when_it_is_old_and_of_nobody(files: SegmentFiles) -> None:
    files.scratch(NAME).write_bytes(CONTENT)
    assert list(files.names()) == []
    assert files.sweep(3600, set()) == ()
    old = time.time() - 7200
    os.utime(files.scratch(NAME), (old, old))
    assert files.sweep(3600, {NAME}) == ()
    assert files.sweep(3600, set()) == (files.scratch(NAME).name,)


def test_only_segments_are_listed_and_swept(files: SegmentFiles, tmp_path: Path) -> None:
    publish(files)
    old = time.time() - 7200
    foreign = ["notes.txt", "notes.tmp", f"x{NAME}", f"{NAME}.bak", "backup.segment", "a/b.segment"]
    for place in filter(Path.is_dir, (tmp_path / "files", tmp_path / "volume", tmp_path / "copies")):
        for path in (place / name for name in foreign):
            path.parent.mkdir(exist_ok=True)
            path.touch()
            os.utime(path, (old, old))
        (place / NAME.replace("8000", "9000")).mkdir()
    assert [name for name, _ in files.names()] == [NAME]
    files.sweep(3600, {NAME})
    for place in filter(Path.is_dir, (tmp_path / "files", tmp_path / "volume", tmp_path / "copies")):
        assert all((place / name).exists() for name in foreign)


def test_a_place_that_went_is_made_again(tmp_path: Path) -> None:
    for files in (
        SegmentFolder(tmp_path / "files"),
        SegmentObjects(f"file://{tmp_path / 'volume'}", tmp_path / "copies"),
    ):
        publish(files)
        for folder in list(tmp_path.iterdir()):
            shutil.rmtree(folder)
        assert list(files.names()) == []
        assert files.sweep(0, set()) == ()
        files.delete(NAME)
        publish(files)
        assert files.fetch(NAME, len(CONTENT), DIGEST).read_bytes() == CONTENT


def test_copies_that_went_are_fetched_again(tmp_path: Path) -> None:
    files = SegmentObjects(f"file://{tmp_path / 'volume'}", tmp_path / "copies")
    publish(files)
    shutil.rmtree(tmp_path / "copies")
    assert files.fetch(NAME, len(CONTENT), DIGEST).read_bytes() == CONTENT


@pytest.mark.parametrize("place", ["files", "volume"])
def test_a_deletion_is_on_the_disk_when_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    files: SegmentFiles = SegmentFolder(tmp_path / place)
    if place == "volume":
        files = SegmentObjects(f"file://{tmp_path / place}", tmp_path / "copies")
    publish(files)
    synced: list[tuple[Path, bool]] = []

    def sync(folder: Path) -> None:
        synced.append((folder, (folder / NAME).exists()))

    monkeypatch.setattr("index_store.segment_folder.sync_folder", sync)
    monkeypatch.setattr("index_store.segment_objects.sync_folder", sync)
    files.delete(NAME)
    assert (tmp_path / place, False) in synced


def test_a_folder_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    files = SegmentFolder(tmp_path / "files")
    (tmp_path / "files").rmdir()
    (tmp_path / "files").touch()
    for use in (lambda: list(files.names()), lambda: files.sweep(0, set()), lambda: files.scratch(NAME)):
        with pytest.raises(SegmentStoreUnavailable):
            use()


def test_a_wrong_or_missing_copy_is_fetched_again(tmp_path: Path) -> None:
    files = SegmentObjects(f"file://{tmp_path / 'volume'}", tmp_path / "copies")
    publish(files)
    copy = tmp_path / "copies" / NAME
    copy.write_bytes(b"torn")
    assert files.fetch(NAME, len(CONTENT), DIGEST).read_bytes() == CONTENT
    other = SegmentObjects(f"file://{tmp_path / 'volume'}", tmp_path / "other machine")
    assert other.fetch(NAME, len(CONTENT), DIGEST).read_bytes() == CONTENT
    assert {path.name for path in (tmp_path / "other machine").iterdir()} == {NAME}


def test_the_sweep_deletes_copies_of_deleted_files(tmp_path: Path) -> None:
    files = SegmentObjects(f"file://{tmp_path / 'volume'}", tmp_path / "copies")
    publish(files)
    assert files.sweep(3600, set()) == (), "it may have been fetched since the set was made"
    long_ago = time.time() - 3600
    os.utime(tmp_path / "copies" / NAME, (long_ago, long_ago))
    assert files.sweep(3600, {NAME}) == ()
    assert files.sweep(3600, set()) == (NAME,)
    assert list((tmp_path / "copies").iterdir()) == []


def test_a_place_that_cannot_be_used_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SegmentStoreUnavailable):
        SegmentFolder(tmp_path / "file")
    with pytest.raises(SegmentStoreUnavailable):
        SegmentObjects(f"file://{tmp_path / 'file' / 'below'}", tmp_path / "copies")
