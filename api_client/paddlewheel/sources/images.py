"""What an image can be given as, and how it becomes bytes.

Files and bytes are sent as they are. Arrays and PIL images are encoded to PNG, which loses nothing; neither
numpy nor Pillow is imported for it, so the client needs neither. An array holds rows x columns, or rows x
columns x 1, 3 or 4 channels, of uint8, in the order blue, green, red (and alpha), as OpenCV and PaddleOCR
have it: give an array in RGB order as `array[..., ::-1]`.
"""

import io
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence, Set, ValuesView
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol, TypeAlias

from paddlewheel.errors import CallerError, ImageEmpty, PaddlewheelError, UnsupportedSource
from paddlewheel.sources.png import encode_png

IMAGE_SUFFIXES: Final = frozenset({".bmp", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".webp"})
"""The files that are taken out of a folder."""

PDF_SUFFIX: Final = ".pdf"

_URL: Final = re.compile(r"[a-z][a-z0-9+.-]+://|data:", re.IGNORECASE)
_LONGEST_NAME: Final = 512
_NAMED: Final = 3
"""Files that a folder's error names of each kind."""


class PixelArray(Protocol):
    """A numpy array, or anything with its shape, its dtype and `tobytes`."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> Any: ...
    def tobytes(self) -> bytes: ...


class PilImage(Protocol):
    """A PIL image: its own mode and size."""

    @property
    def mode(self) -> str: ...
    @property
    def size(self) -> tuple[int, int]: ...
    def tobytes(self) -> bytes: ...


ImageSource: TypeAlias = (
    bytes
    | bytearray
    | memoryview
    | str
    | os.PathLike[str]
    | IO[bytes]
    | PixelArray
    | PilImage
    | Mapping[str, Any]
)
"""Encoded bytes, a path, a binary file object, an array, a PIL image, or `{"img": one of these}`."""


@dataclass(frozen=True, kw_only=True)
class EncodedImage:
    """The bytes of an image or PDF, and the caller's name for it: a path as it was given, else None."""

    data: bytes
    name: str | None = None


def expand(sources: Any, *, pdf: bool = False) -> Iterator[Any]:
    """One source after the other out of lists, nested lists, dicts and folders.

    A folder gives the images in it and below it, sorted by path, with `pdf` its PDFs too; hidden files and
    folders are left out. A folder that cannot be read comes through as it is, so that it fails alone, like
    anything else that is no image. Raises UnsupportedSource for a folder without images.
    """
    for source in expand_each(sources, pdf=pdf):
        if isinstance(source, CallerError):
            raise source
        yield source


def expand_each(sources: Any, *, pdf: bool = False) -> Iterator[Any]:
    """The same, with an UnsupportedSource in the place of a folder or dict that holds no image."""
    try:
        if isinstance(sources, Mapping):
            yield from expand_each(_image_of(sources), pdf=pdf)
        elif is_folder(sources):
            yield from _files_in(Path(os.fsdecode(sources)), pdf=pdf)
        elif not _is_nest(sources):
            yield sources
    except UnsupportedSource as err:
        yield err
    if _is_nest(sources):
        for source in sources:
            yield from expand_each(source, pdf=pdf)


def is_folder(source: Any) -> bool:
    """Whether this is the path of a folder; a path that cannot be looked up is none."""
    # Where pathlib raises (no permission, a name that is too long) os.path answers False.
    return isinstance(source, (str, os.PathLike)) and os.path.isdir(source)  # noqa: PTH112


def describe_missing(path: str) -> str:
    """One sentence about a path at which nothing is; without a suffix it may have meant a folder."""
    if path.endswith(("/", os.sep)):
        return f"There is no folder {path}."
    return (
        f"There is no file {path}." if Path(path).suffix else f"There is no folder {path}, and no such file."
    )


def _is_nest(source: Any) -> bool:
    if isinstance(source, (str, bytes, bytearray, memoryview)) or hasattr(source, "read"):
        return False
    return isinstance(source, (Sequence, Set, Iterator, ValuesView))


def _image_of(source: Mapping[str, Any]) -> Any:
    if "img" not in source:
        raise UnsupportedSource('A dict names its image under "img".')
    return source["img"]


def _files_in(folder: Path, *, pdf: bool) -> list[Path]:
    wanted = IMAGE_SUFFIXES | ({PDF_SUFFIX} if pdf else set())
    found: list[Path] = []
    hidden: list[Path] = []
    other: list[Path] = []
    for path in _walk(folder):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            hidden.append(path)
        elif path.suffix.lower() in wanted or is_folder(path):  # one that cannot be read
            found.append(path)
        else:
            other.append(path)
    if not found:
        left_out = [_count("hidden", hidden), _count("with another suffix", other)]
        words = " and ".join(filter(None, left_out))
        raise UnsupportedSource(
            f"The folder {folder} holds no file of {', '.join(sorted(wanted))}"
            f"{f'; left out: {words}' if words else ': it is empty'}."
        )
    return sorted(found)


def _walk(folder: Path) -> Iterator[Path]:
    """The files in a folder and below it, and those folders that cannot be read."""
    unreadable: list[Path] = []
    for parent, _, files in os.walk(folder, onerror=lambda err: unreadable.append(Path(str(err.filename)))):
        paths = (Path(parent, name) for name in files)
        yield from (path for path in paths if os.path.isfile(path))  # noqa: PTH113  as in is_folder
    yield from unreadable


def _count(kind: str, paths: Sequence[Path]) -> str:
    if not paths:
        return ""
    names = ", ".join(sorted(path.name for path in paths)[:_NAMED])
    return f"{len(paths)} {kind} ({names}{', ...' if len(paths) > _NAMED else ''})"


def encode(source: ImageSource) -> EncodedImage:
    """The bytes that are stored for one source. Raises UnsupportedSource, ImageEmpty for an empty array.

    An empty file is stored like any other: the worker refuses it, and one bad file among many fails alone.
    """
    try:
        return _encode(source)
    except (PaddlewheelError, MemoryError):
        raise
    except Exception as err:
        # A source is any caller's object, and its methods raise anything. Their words may hold its bytes.
        raise UnsupportedSource(
            f"The {type(source).__name__} cannot be read as an image ({type(err).__name__}): give the bytes "
            "of an image file instead."
        ) from err


def _encode(source: Any) -> EncodedImage:
    if isinstance(source, (bytes, bytearray, memoryview)):
        return EncodedImage(data=bytes(source))
    if isinstance(source, Mapping):
        return _encode(_image_of(source))
    if isinstance(source, (str, os.PathLike)):
        return _read_path(os.fsdecode(source))
    if hasattr(source, "read"):
        return _read_file(source)
    if _is_pil_image(source):
        return EncodedImage(data=_pil_bytes(source))
    if all(hasattr(source, name) for name in ("shape", "dtype", "tobytes")):
        return EncodedImage(data=_array_bytes(source))
    if _is_nest(source):
        raise UnsupportedSource("Many images at once go through put_many or enqueue_many.")
    raise UnsupportedSource(
        f"An image can be bytes, a path, a binary file object, an array or a PIL image, "
        f"not {type(source).__name__}."
    )


def _read_path(path: str) -> EncodedImage:
    if _URL.match(path):
        raise UnsupportedSource("URL inputs are not enabled: fetch the image yourself and give its bytes.")
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as err:
        raise UnsupportedSource(describe_missing(path)) from err
    except IsADirectoryError as err:
        raise UnsupportedSource(_refused_folder(path)) from err
    except OSError as err:
        raise UnsupportedSource(
            f"The file {path} cannot be read: {err.strerror or type(err).__name__}."
        ) from err
    except ValueError as err:
        raise UnsupportedSource(f"The file {path!r} cannot be read: no file can have that name.") from err
    return EncodedImage(data=data, name=_short(path))


def _refused_folder(path: str) -> str:
    if os.access(path, os.R_OK | os.X_OK):
        return f"{path} is a folder: give it to put_many or enqueue_many."
    return f"The folder {path} cannot be read: allow this user to list it, or leave it out."


def _read_file(file: IO[bytes]) -> EncodedImage:
    if getattr(file, "closed", False) is True:
        raise UnsupportedSource("The file object is closed: open it again.")
    try:
        data = file.read()
    except UnicodeDecodeError:
        data = None  # opened as text
    except OSError as err:
        raise UnsupportedSource(
            f"The file object cannot be read: {err.strerror or type(err).__name__}."
        ) from err
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise UnsupportedSource("A file object has to be opened in binary mode ('rb').")
    name = getattr(file, "name", None)
    named = isinstance(name, str) and not name.startswith("<")
    return EncodedImage(data=bytes(data), name=_short(str(name)) if named else None)


def _short(name: str) -> str:
    shown = name.encode(errors="replace").decode()  # a file's name may be no text
    return shown if len(shown) <= _LONGEST_NAME else Path(shown).name[-_LONGEST_NAME:]


def _array_bytes(array: PixelArray) -> bytes:
    shape, dtype = tuple(array.shape), str(array.dtype)
    if dtype not in ("uint8", "|u1"):
        raise UnsupportedSource(
            f"An array of {dtype} is not an image: scale it to 0-255 and convert it to uint8 first."
        )
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
        raise UnsupportedSource(
            f"An array of shape {shape} is not an image: it has to be rows x columns, or rows x columns x "
            f"1, 3 or 4 channels."
        )
    if 0 in shape:
        raise ImageEmpty(f"An array of shape {shape} has no pixels.")
    channels = shape[2] if len(shape) == 3 else 1
    # tobytes() answers in the order of rows, whatever the array's strides are.
    return encode_png(array.tobytes(), width=int(shape[1]), height=int(shape[0]), channels=int(channels))


def _is_pil_image(source: Any) -> bool:
    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(source, pil.Image)


def _pil_bytes(image: Any) -> bytes:
    """Pillow is there already: the image is its own."""
    from PIL import ImageOps

    if image.mode.startswith(("I", "F")):
        raise UnsupportedSource(
            f"A PIL image of mode {image.mode} has more than eight bits a channel: scale it to 0-255 and "
            f"convert it to L or RGB first."
        )
    if image.format is not None:
        # As it came from its file, so the camera's orientation still has to be applied, once.
        image = ImageOps.exif_transpose(image)
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
