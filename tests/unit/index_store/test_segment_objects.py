"""Segment files in a folder and behind fsspec: one contract, and the checked local copy."""

import os
import time
import uuid
from hashlib import sha256
from pathlib import Path

import pytest

from api_client.errors import SegmentCorrupt, SegmentStoreUnavailable
from index_store.segment_folder import SegmentFiles, SegmentFolder
from index_store.segment_objects import SegmentObjects

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


def test_a_wrong_or_missing_copy_is_fetched_again(tmp_path: Path) -> None:
    files = SegmentObjects(f"file://{tmp_path / 'volume'}", tmp_path / "copies")
    publish(files)
    copy = tmp_path / "copies" / NAME
    copy.write_bytes(b"torn")
    assert files.fetch(NAME, len(CONTENT), DIGEST).read_bytes() == CONTENT
    other = SegmentObjects(f"file://{tmp_path / 'volume'}", tmp_path / "other machine")
    assert other.fetch(NAME, len(CONTENT), DIGEST).read_bytes() == CONTENT
    assert {path.name for path in (tmp_path / "other machine").iterdir()} == {NAME}


def test_copies_of_files_that_are_no_more_go_with_the_sweep(tmp_path: Path) -> None:
    files = SegmentObjects(f"file://{tmp_path / 'volume'}", tmp_path / "copies")
    publish(files)
    assert files.sweep(3600, {NAME}) == ()
    assert files.sweep(3600, set()) == (NAME,)
    assert list((tmp_path / "copies").iterdir()) == []


def test_a_place_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SegmentStoreUnavailable):
        SegmentFolder(tmp_path / "file")
    with pytest.raises(SegmentStoreUnavailable):
        SegmentObjects(f"file://{tmp_path / 'file' / 'below'}", tmp_path / "copies")
