"""The blob stores that need no server: a folder, fsspec's file systems, and this process's memory."""

import math
import os
import stat
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
import pytest
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]
from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from paddlewheel.blobs import shared_folder
from paddlewheel.blobs.content import digest_of
from paddlewheel.blobs.memory import MemoryBlobStore
from paddlewheel.blobs.object_store import FsspecBlobStore
from paddlewheel.blobs.opening import open_blob_store
from paddlewheel.blobs.redis_server import RedisBlobStore, uploads_of
from paddlewheel.blobs.shared_folder import FileBlobStore, folder_of
from paddlewheel.blobs.store import BlobStore
from paddlewheel.errors import (
    BlobCorrupt,
    BlobNotFound,
    BlobStoreUnavailable,
    ConfigurationError,
    MissingExtra,
)
from tests.blob_contract import MAX_BYTES, NOW, TTL, BlobStoreContract, Clock, ref_to


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = Clock()

    def open(self, *, ttl: float = TTL, max_bytes: int = MAX_BYTES) -> FileBlobStore:
        return FileBlobStore(self.path, ttl=ttl, max_bytes=max_bytes, now=self.clock)

    def let_pass(self, seconds: float) -> None:
        self.clock.time += seconds

    def file(self, digest: str) -> Path:
        return self.path / digest[:2] / digest[2:4] / digest

    def overwrite(self, digest: str, data: bytes) -> None:
        until = self.file(digest).stat().st_mtime
        self.file(digest).write_bytes(data)
        os.utime(self.file(digest), (until, until))


class TestFolder(BlobStoreContract):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> Folder:
        return Folder(tmp_path / "blobs")

    def test_files_are_fanned_out_and_closed_to_others(self, backend: Folder) -> None:
        backend.open().put(b"pixels")
        file = backend.file(digest_of(b"pixels"))
        assert file.read_bytes() == b"pixels"
        assert stat.S_IMODE(file.stat().st_mode) == 0o640
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o750
        assert stat.S_IMODE(backend.path.stat().st_mode) == 0o750
        assert [path.name for path in file.parent.iterdir()] == [file.name]

    def test_a_shorter_time_to_live_never_shortens_another_clients(self, backend: Folder) -> None:
        kept = backend.open().put(b"pixels")
        backend.open(ttl=10).put(b"pixels")
        backend.let_pass(20)
        assert backend.open().get(kept) == b"pixels"

    def test_a_file_of_the_wrong_size_is_written_again(self, backend: Folder) -> None:
        store = backend.open()
        stored = store.put(b"pixels")
        backend.overwrite(digest_of(b"pixels"), b"pix")
        assert isinstance(store.get_many([stored])[0], BlobCorrupt)
        store.put(b"pixels")
        assert store.get(stored) == b"pixels"

    def test_a_link_in_a_blobs_place_is_not_followed(self, backend: Folder, tmp_path: Path) -> None:
        store = backend.open()
        stored = store.put(b"pixels")
        (tmp_path / "secret").write_bytes(b"pixels")
        os.utime(tmp_path / "secret", (NOW + TTL, NOW + TTL))
        backend.file(digest_of(b"pixels")).unlink()
        backend.file(digest_of(b"pixels")).symlink_to(tmp_path / "secret")
        with pytest.raises(BlobCorrupt, match="not a plain file"):
            store.get(stored)

    def test_a_link_in_a_folders_place_is_not_followed(self, backend: Folder, tmp_path: Path) -> None:
        store = backend.open()
        digest = digest_of(b"pixels")
        outside = tmp_path / "outside"
        outside.mkdir()
        (backend.path / digest[:2]).symlink_to(outside)
        with pytest.raises(BlobStoreUnavailable):
            store.put(b"pixels")
        with pytest.raises(BlobCorrupt):
            store.get(ref_to(b"pixels"))
        assert store.sweep() == 0
        assert list(outside.iterdir()) == []

    def test_a_pipe_in_a_blobs_place_does_not_block_the_reader(self, backend: Folder) -> None:
        store = backend.open()
        stored = store.put(b"pixels")
        backend.file(digest_of(b"pixels")).unlink()
        os.mkfifo(backend.file(digest_of(b"pixels")))
        with pytest.raises(BlobCorrupt, match="not a plain file"):
            store.get(stored)

    def test_a_put_that_fails_leaves_nothing_behind(
        self, backend: Folder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = backend.open()
        store.put(b"another")

        def disk_full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", disk_full)
        with pytest.raises(BlobStoreUnavailable, match="No space left"):
            store.put(b"pixels")
        monkeypatch.undo()
        with pytest.raises(BlobNotFound):
            store.get(ref_to(b"pixels"))
        files = [path for path in backend.path.rglob("*") if path.is_file()]
        assert files == [backend.file(digest_of(b"another"))]

    def test_a_sweep_deletes_what_expired_and_looks_at_a_bounded_number(self, backend: Folder) -> None:
        store = backend.open()
        store.put_many([bytes([number]) for number in range(100)])
        backend.let_pass(TTL + 1)
        live = store.put(b"live")
        deleted = store.sweep(limit=20)
        assert 0 < deleted <= 20
        while step := store.sweep(limit=20):
            deleted += step
        assert deleted == 100
        assert store.get(live) == b"live"

    def test_a_sweep_deletes_temporary_files_only_when_their_writer_is_long_gone(
        self, backend: Folder
    ) -> None:
        store = backend.open()
        store.put(b"pixels")
        folder = backend.file(digest_of(b"pixels")).parent
        for name, age in ((".old", 7200), (".young", 60)):
            (folder / name).write_bytes(b"half a blob")
            os.utime(folder / name, (NOW - age, NOW - age))
        store.sweep()
        assert not (folder / ".old").exists()
        assert (folder / ".young").exists()

    def test_writers_of_the_same_blob_and_a_sweep_do_not_disturb_each_other(
        self, backend: Folder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # An hour of this clock is a moment, so no writer counts as gone.
        monkeypatch.setattr(shared_folder, "ABANDONED_SECONDS", math.inf)
        data = [bytes([number]) * 1000 for number in range(4)]
        stop = threading.Event()
        failures: list[BaseException] = []

        def repeat(step: Any) -> None:
            try:
                while not stop.is_set():
                    step()
            except BaseException as err:
                failures.append(err)

        def expire_and_put() -> None:
            backend.let_pass(TTL + 1)
            backend.open().put_many(data)

        steps = [expire_and_put, expire_and_put, backend.open().sweep, backend.open().sweep]
        threads = [threading.Thread(target=repeat, args=(step,)) for step in steps]
        for thread in threads:
            thread.start()
        stop.wait(1.0)
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == []
        stored = backend.open().put_many(data)
        assert backend.open().get_many(stored) == data

    def test_a_blob_renewed_while_a_sweep_deletes_it_is_kept(
        self, backend: Folder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = backend.open()
        store.put(b"pixels")
        backend.let_pass(TTL + 1)
        rename = os.rename
        file = backend.file(digest_of(b"pixels"))

        def renewed_meanwhile(*args: Any, **kwargs: Any) -> None:
            os.utime(file, (NOW + 9 * TTL, NOW + 9 * TTL))
            rename(*args, **kwargs)

        monkeypatch.setattr(os, "rename", renewed_meanwhile)
        assert store.sweep() == 0
        assert store.get(ref_to(b"pixels")) == b"pixels"
        assert [path.name for path in file.parent.iterdir()] == [file.name]

    def test_a_folder_that_is_a_file_is_unavailable(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(BlobStoreUnavailable):
            open_blob_store(f"file://{tmp_path}/file/blobs", ttl=TTL, max_bytes=MAX_BYTES)

    @pytest.mark.parametrize("url", ["file://host/folder", "file:folder", "file://", "file:///a?b"])
    def test_a_url_that_is_no_whole_path_is_refused(self, url: str) -> None:
        with pytest.raises(ConfigurationError, match="three slashes"):
            folder_of(url)

    def test_a_url_may_hold_spaces(self) -> None:
        assert folder_of("file:///a%20folder/b") == Path("/a folder/b")


class Files:
    """A file system of fsspec's that stamps what is written with the test's clock."""

    def __init__(self, url: str, clock: Clock) -> None:
        self.url = url
        self.clock = clock
        self.files, self.root = fsspec.url_to_fs(url)

    def open(self, *, ttl: float = TTL, max_bytes: int = MAX_BYTES) -> FsspecBlobStore:
        return FsspecBlobStore(self.url, ttl=ttl, max_bytes=max_bytes, now=self.clock)

    def let_pass(self, seconds: float) -> None:
        self.clock.time += seconds

    def path(self, digest: str) -> str:
        return f"{self.root}/{digest[:2]}/{digest[2:4]}/{digest}"

    def overwrite(self, digest: str, data: bytes) -> None:
        self.files.pipe_file(self.path(digest), data)


class FilesContract(BlobStoreContract):
    def test_a_put_of_what_was_just_put_sends_no_bytes(
        self, backend: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = backend.open()
        first = store.put(b"pixels")
        backend.let_pass(TTL / 4)
        monkeypatch.setattr(type(backend.files), "pipe_file", None)
        assert store.put(b"pixels") == first

    def test_a_sweep_deletes_a_bounded_number(self, backend: Files) -> None:
        store = backend.open()
        store.put_many([bytes([number]) for number in range(50)])
        backend.let_pass(TTL + 1)
        assert store.sweep(limit=20) == 20
        assert store.sweep(limit=100) == 30

    def test_a_file_system_that_tells_no_time_promises_none(
        self, backend: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def untold(_self: object, _path: str) -> datetime:
            raise NotImplementedError

        store = backend.open()
        monkeypatch.setattr(type(backend.files), "modified", untold)
        store.put(b"pixels")
        stored = store.put(b"pixels")
        assert stored.expires_at is None
        backend.let_pass(TTL + 1)
        assert store.sweep() == 0
        assert store.get(stored) == b"pixels"

    def test_an_error_of_the_file_system_is_translated(
        self, backend: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refused(*_: object, **__: object) -> None:
            raise PermissionError("key=hunter2")

        store = backend.open()
        stored = store.put(b"pixels")
        monkeypatch.setattr(type(backend.files), "cat_file", refused)
        with pytest.raises(BlobStoreUnavailable) as raised:
            store.get(stored)
        assert "hunter2" not in raised.value.message


class TestMemoryFileSystem(FilesContract):
    @pytest.fixture
    def backend(self, monkeypatch: pytest.MonkeyPatch) -> Files:
        clock = Clock()
        pipe_file = MemoryFileSystem.pipe_file

        def stamped(files: MemoryFileSystem, path: str, *args: Any, **kwargs: Any) -> None:
            pipe_file(files, path, *args, **kwargs)
            files.store[path].modified = datetime.fromtimestamp(clock(), UTC)

        monkeypatch.setattr(MemoryFileSystem, "pipe_file", stamped)
        monkeypatch.setattr(MemoryFileSystem, "store", {})
        monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
        return Files("memory://blobs", clock)


class TestLocalFileSystem(FilesContract):
    @pytest.fixture
    def backend(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Files:
        clock = Clock()
        pipe_file = LocalFileSystem.pipe_file

        def stamped(files: LocalFileSystem, path: str, *args: Any, **kwargs: Any) -> None:
            pipe_file(files, path, *args, **kwargs)
            os.utime(path, (clock(), clock()))

        monkeypatch.setattr(LocalFileSystem, "pipe_file", stamped)
        return Files(f"local://{tmp_path}/blobs", clock)


class Memory:
    def __init__(self) -> None:
        self.clock = Clock()
        self._blobs: dict[str, tuple[bytes, float]] = {}

    def open(self, *, ttl: float = TTL, max_bytes: int = MAX_BYTES) -> MemoryBlobStore:
        store = MemoryBlobStore(ttl=ttl, max_bytes=max_bytes, now=self.clock)
        store._blobs = self._blobs
        return store

    def let_pass(self, seconds: float) -> None:
        self.clock.time += seconds

    def overwrite(self, digest: str, data: bytes) -> None:
        self._blobs[digest] = (data, self._blobs[digest][1])


class TestMemory(BlobStoreContract):
    @pytest.fixture
    def backend(self) -> Memory:
        return Memory()


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("redis://127.0.0.1:1/0", RedisBlobStore),
        ("valkey://127.0.0.1:1/0", RedisBlobStore),
        ("unix:///nowhere.sock", RedisBlobStore),
        ("memory://blobs", FsspecBlobStore),
    ],
)
def test_a_url_names_its_backend(url: str, kind: type[BlobStore]) -> None:
    store = open_blob_store(url, ttl=TTL, max_bytes=MAX_BYTES)
    assert isinstance(store, kind)
    store.close()


@pytest.mark.parametrize("url", ["", "blobs", "/folder", "nosuch://folder", "redis://host:port/0"])
def test_a_url_that_names_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        open_blob_store(url, ttl=TTL, max_bytes=MAX_BYTES)


@pytest.mark.parametrize(("ttl", "max_bytes"), [(0, 1), (-1, 1), (float("nan"), 1), (1, 0)])
def test_limits_have_to_be_above_zero(ttl: float, max_bytes: int) -> None:
    with pytest.raises(ConfigurationError, match="above zero"):
        open_blob_store("memory://blobs", ttl=ttl, max_bytes=max_bytes)


def test_a_missing_fsspec_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(MissingExtra, match=r"paddlewheel\[fsspec\]"):
        open_blob_store("s3://bucket", ttl=TTL, max_bytes=MAX_BYTES)


def test_a_missing_file_system_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adlfs", None)
    with pytest.raises(MissingExtra, match="adlfs"):
        open_blob_store("abfs://container", ttl=TTL, max_bytes=MAX_BYTES)


def test_an_unreachable_server_is_named_without_its_password() -> None:
    store = open_blob_store("redis://:hunter2@127.0.0.1:1/0", ttl=TTL, max_bytes=MAX_BYTES)
    with pytest.raises(BlobStoreUnavailable, match=r"127\.0\.0\.1") as raised:
        store.put(b"pixels")
    assert "hunter2" not in str(raised.value)
    store.close()


@given(st.lists(st.integers(min_value=0, max_value=120), max_size=30))
def test_uploads_hold_everything_in_order_and_a_bounded_number_of_bytes(sizes: list[int]) -> None:
    blobs = [(str(index), bytes(size)) for index, size in enumerate(sizes)]
    uploads = list(uploads_of(blobs, limit=100))
    assert [blob for upload in uploads for blob in upload] == blobs
    for upload in uploads:
        assert len(upload) == 1 or sum(len(data) for _, data in upload) <= 100
