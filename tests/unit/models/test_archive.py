"""Unpacking archives: what a model looks like, and everything that is refused."""

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddlewheel.errors import ModelFilesRefused, PaddlewheelError
from tests.model_archives import member, model_tar, tar
from tests.unit.models.conftest import RECOGNITION
from workers.models.home.archive import ArchiveLimits, unpack
from workers.models.home.directory import ModelDirectory

LIMITS = ArchiveLimits(max_members=10, max_bytes=100_000)
CONFIG = (member("inference.yml"), b"x")


def unpacked(content: bytes, tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "archive").write_bytes(content)
    return unpack(tmp_path / "archive", folder, LIMITS)


@pytest.mark.parametrize("folder", ["model_infer/", "./model_infer/", ""])
def test_a_model_is_found_with_and_without_a_folder(folder: str, tmp_path: Path) -> None:
    found = unpacked(model_tar(RECOGNITION, folder), tmp_path)
    assert ModelDirectory.open(found).name == "tiny_rec"
    assert (found / "inference.pdiparams").stat().st_size == 5000


def test_owners_and_modes_are_not_taken_over(tmp_path: Path) -> None:
    archive = tar((member("m/inference.yml", mode=0o6777, uid=12345, uname="root"), b"x"))
    stat = (unpacked(archive, tmp_path) / "inference.yml").stat()
    assert stat.st_mode & 0o7111 == 0
    assert stat.st_uid != 12345


@pytest.mark.parametrize(
    ("info", "content", "message"),
    [
        (member("../inference.yml"), b"x", "outside of its folder"),
        (member("m/../../inference.yml"), b"x", "outside of its folder"),
        (member("/tmp/inference.yml"), b"x", "outside of its folder"),  # noqa: S108
        (member("m\\..\\inference.yml"), b"x", "outside of its folder"),
        (member("../evil", type=tarfile.DIRTYPE), b"", "outside of its folder"),
        (member("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"), b"", "a link or a device"),
        (member("link", type=tarfile.LNKTYPE, linkname="inference.yml"), b"", "a link or a device"),
        (member("tty", type=tarfile.CHRTYPE, devmajor=5), b"", "a link or a device"),
        (member("disk", type=tarfile.BLKTYPE, devmajor=8), b"", "a link or a device"),
        (member("pipe", type=tarfile.FIFOTYPE), b"", "a link or a device"),
        (member("inference.yml"), b"again", "twice"),
        (member("inference.yml/inside"), b"x", "twice"),
        (member("large"), bytes(100_001), "100000 bytes"),
        (member("n" * 300), b"x", "cannot be written|name"),
    ],
)
def test_what_no_model_needs_is_refused(
    info: tarfile.TarInfo, content: bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(PaddlewheelError, match=message):
        unpacked(tar(CONFIG, (info, content)), tmp_path)
    assert not (tmp_path / "inference.yml").exists()


def test_many_members_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFilesRefused, match="more than 10 members"):
        unpacked(tar(*((member(f"{n}"), b"x") for n in range(11))), tmp_path)


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFilesRefused, match="no tar file"):
        unpacked(tar(CONFIG, mode="w:gz"), tmp_path)


def test_a_header_of_a_megabyte_is_refused_unread(tmp_path: Path) -> None:
    archive = tar(
        (member("inference.yml", pax_headers={"comment": "x" * (2 << 20)}), b"x"), format=tarfile.PAX_FORMAT
    )
    with pytest.raises(ModelFilesRefused, match="far too long"):
        unpacked(archive, tmp_path)


def test_a_sparse_file_is_refused(tmp_path: Path) -> None:
    headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,1,999999,1"}
    info = member("inference.yml", pax_headers={**headers, "GNU.sparse.size": "1000000"})
    with pytest.raises(ModelFilesRefused):
        unpacked(tar((info, b"xy"), format=tarfile.PAX_FORMAT), tmp_path)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>" * 100, bytes(5000), b"PK\x03\x04" * 400])
def test_bytes_that_are_no_archive_are_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ModelFilesRefused):
        unpacked(content, tmp_path)


def test_an_archive_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFilesRefused, match=r"no inference\.yml"):
        unpacked(tar((member("README"), b"x")), tmp_path)


@given(st.data())
def test_a_damaged_archive_is_a_typed_error_or_a_folder(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = model_tar(RECOGNITION)
    end = data.draw(st.integers(0, len(whole)))
    damaged = bytearray(whole[:end])
    for at in data.draw(st.lists(st.integers(0, 1600), max_size=4)):
        if at < end:
            damaged[at] = data.draw(st.integers(0, 255))
    base = tmp_path_factory.mktemp("damaged")
    try:
        found = unpacked(bytes(damaged), base)
    except PaddlewheelError:
        pass
    else:
        assert (found / "inference.yml").is_file()
    assert {path.name for path in base.iterdir()} == {"archive", "folder"}


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    whole = tar((member("inference.yml"), b"x"), (member("last"), b"y" * 600))
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        last = archive.getmembers()[-1]
    after = last.offset_data + 1024
    cuts = (last.offset, last.offset + 1, last.offset_data, last.offset_data + 599, after, after + 512)
    for number, end in enumerate(cuts):
        base = tmp_path / str(number)
        base.mkdir()
        with pytest.raises(ModelFilesRefused):
            unpacked(whole[:end], base)
