"""Unpack a model's tar archive from a source that is not trusted.

Only files and folders come out, under the folder that was named: a link, a device, an absolute path, a
path with `..`, a file twice, too many members or too many bytes refuse the whole archive. Owners, modes and
times are not taken over. Compressed archives are refused: PaddleX's are plain, and compression can make
terabytes of a few kilobytes.
"""

import os
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from shutil import copyfileobj
from typing import IO

from paddlewheel.errors import ModelFilesRefused, ModelUnavailable
from workers.models.file_names import CONFIG

# A header of names is a few hundred bytes; tarfile would read one of gigabytes into memory.
_LONGEST_READ = 1 << 20

# Every tar file ends with two blocks of zeros; one without them was cut off between two members.
_END = bytes(1024)


@dataclass(frozen=True, kw_only=True)
class ArchiveLimits:
    """What an archive may hold. The largest official model is 1.05 GB in three files."""

    max_members: int = 200
    max_bytes: int = 4 << 30


def unpack(archive: Path, folder: Path, limits: ArchiveLimits) -> Path:
    """Unpack into the empty `folder`; returns where inference.yml is, there or in its only subfolder.

    Raises ModelFilesRefused for an archive that is damaged, unsafe or holds no model, and ModelUnavailable
    when the disk refuses the files.
    """
    try:
        with (
            archive.open("rb") as stream,
            tarfile.open(fileobj=_Reads(stream), mode="r:", errorlevel=2) as tar,  # type: ignore[call-overload]
        ):
            _extract(tar, folder, limits)
            stream.seek(-min(len(_END), archive.stat().st_size), os.SEEK_END)
            if stream.read() != _END:
                raise ModelFilesRefused("The archive is cut off: its end is missing.")
    except tarfile.TarError as err:
        raise ModelFilesRefused(f"The archive is no tar file, or is damaged: {err}.") from err
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as err:
        raise ModelFilesRefused(f"The archive names {Path(str(err.filename)).name!r} twice.") from err
    except (ValueError, UnicodeError) as err:
        raise ModelFilesRefused(f"The archive has a name that is not a name of files: {err}.") from err
    except OSError as err:
        raise ModelUnavailable(f"{folder} cannot be written: {err}.") from err
    return _model_folder(folder)


class _Reads:
    """A stream that refuses to be read in pieces of any size."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.seek = stream.seek
        self.tell = stream.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LONGEST_READ:
            raise tarfile.ReadError("a header is far too long")
        return self._stream.read(size)


def _extract(tar: tarfile.TarFile, folder: Path, limits: ArchiveLimits) -> None:
    size = 0
    for members, member in enumerate(tar, start=1):
        size += member.size
        if members > limits.max_members or size > limits.max_bytes:
            raise ModelFilesRefused(
                f"The archive holds more than {limits.max_members} members or {limits.max_bytes} bytes."
            )
        path = folder / _checked_path(member)
        if member.isdir():
            path.mkdir(parents=True, exist_ok=True)
        else:
            _write(tar, member, path)


def _checked_path(member: tarfile.TarInfo) -> PurePosixPath:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name:
        raise ModelFilesRefused(f"The archive wants to write outside of its folder: {member.name[:80]!r}.")
    if not (member.isdir() or (member.isreg() and not member.issparse())):
        raise ModelFilesRefused(f"The archive holds a link or a device: {member.name[:80]!r}.")
    return path


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    content = tar.extractfile(member)
    if content is None:
        raise ModelFilesRefused(f"The archive has no bytes for {member.name[:80]!r}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with content, path.open("xb") as file:
        copyfileobj(content, file, _LONGEST_READ)
        file.flush()
        os.fsync(file.fileno())
    if path.stat().st_size != member.size:
        raise ModelFilesRefused(f"The archive ends in the middle of {member.name[:80]!r}.")


def _model_folder(folder: Path) -> Path:
    inside = [entry for entry in folder.iterdir() if entry.is_dir()]
    candidates: list[Path] = [folder, *inside] if len(inside) == 1 else [folder]
    for candidate in candidates:
        if (candidate / CONFIG).is_file():
            return candidate
    raise ModelFilesRefused(f"The archive holds no model: there is no {CONFIG} in it.")
