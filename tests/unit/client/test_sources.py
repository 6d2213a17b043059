import io
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from paddlewheel.errors import ImageEmpty, UnsupportedSource
from paddlewheel.sources.images import encode, expand
from tests.data.png_pixels import png_pixels


@dataclass
class FakeArray:
    """The part of an array that the client needs, without numpy."""

    shape: tuple[int, ...]
    pixels: bytes
    dtype: str = "uint8"

    def tobytes(self) -> bytes:
        return self.pixels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.PNG", "a.jpg", "notes.txt", "c.pdf", ".hidden.png", "below/z.webp", "below/deep/y.bmp"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path


def names(sources: Iterator[Any], folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in sources]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_encoded_bytes_are_sent_as_they_are(kind: type) -> None:
    assert encode(kind(b"pixels")).data == b"pixels"
    assert encode(kind(b"pixels")).name is None


def test_a_memoryview_of_every_second_byte_is_those_bytes() -> None:
    assert encode(memoryview(b"p-i-x-")[::2]).data == b"pix"


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_is_read_and_named_by_the_path_as_given(kind: type, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"pixels")
    encoded = encode(kind(tmp_path / "a.png"))
    assert (encoded.data, encoded.name) == (b"pixels", str(tmp_path / "a.png"))


def test_a_name_too_long_for_a_reference_is_cut_to_the_file_name(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["x" * 100] * 6)
    deep.mkdir(parents=True)
    (deep / "a.png").write_bytes(b"pixels")
    assert encode(deep / "a.png").name == "a.png"


def test_a_binary_file_object_is_read_from_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"--pixels")
    with path.open("rb") as file:
        file.seek(2)
        assert encode(file) == encode(b"pixels").__class__(data=b"pixels", name=str(path))
    assert encode(io.BytesIO(b"pixels")).name is None


def test_a_text_file_object_is_refused() -> None:
    with pytest.raises(UnsupportedSource, match="binary mode"):
        encode(io.StringIO("pixels"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url", ["https://x.org/a.png", "HTTP://x.org/a", "s3://b/k", "data:image/png;base64,"]
)
def test_a_url_is_refused_in_a_sentence(url: str) -> None:
    with pytest.raises(UnsupportedSource, match="URL inputs are not enabled"):
        encode(url)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedSource, match=r"no file .*missing\.png"):
        encode(tmp_path / "missing.png")
    with pytest.raises(UnsupportedSource, match="cannot be read"):
        encode("a\0b")


def test_a_folder_belongs_to_put_many(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedSource, match="put_many"):
        encode(tmp_path)
    with pytest.raises(UnsupportedSource, match="put_many"):
        encode([b"one", b"two"])  # type: ignore[arg-type]


def test_an_empty_file_is_left_to_the_worker_so_that_it_fails_alone(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    assert encode(b"").data == encode(io.BytesIO()).data == b""
    assert encode(tmp_path / "empty.png").name is not None


@pytest.mark.parametrize("source", [None, 7, object()])
def test_anything_else_is_refused_by_its_type(source: Any) -> None:
    with pytest.raises(UnsupportedSource, match=f"not {type(source).__name__}"):
        encode(source)


def test_a_dict_holds_its_image_under_img() -> None:
    assert encode({"img": b"pixels"}).data == b"pixels"
    with pytest.raises(UnsupportedSource, match='"img"'):
        encode({"image": b"pixels"})


@pytest.mark.parametrize(
    ("shape", "seen"),
    [((2, 3), (3, 2, 1)), ((2, 3, 1), (3, 2, 1)), ((2, 3, 3), (3, 2, 3)), ((2, 3, 4), (3, 2, 4))],
)
def test_an_array_becomes_a_png_of_its_shape(shape: tuple[int, ...], seen: tuple[int, ...]) -> None:
    size = seen[0] * seen[1] * seen[2]
    assert png_pixels(encode(FakeArray(shape, bytes(range(size)))).data)[:3] == seen


def test_an_array_is_blue_first() -> None:
    encoded = encode(FakeArray((1, 2, 3), bytes([255, 10, 0, 250, 20, 5])))
    assert png_pixels(encoded.data)[3] == bytes([0, 10, 255, 5, 20, 250])


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "uint16", "object"])
def test_an_array_of_another_type_says_what_to_do(dtype: str) -> None:
    with pytest.raises(UnsupportedSource, match=f"array of {dtype} .* uint8"):
        encode(FakeArray((2, 2), bytes(4), dtype))


@pytest.mark.parametrize("shape", [(4,), (3, 5, 5), (2, 2, 2), (1, 2, 2, 3), ()])
def test_an_array_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UnsupportedSource, match="rows x columns"):
        encode(FakeArray(shape, b""))


def test_an_array_without_pixels_is_empty() -> None:
    with pytest.raises(ImageEmpty, match="no pixels"):
        encode(FakeArray((0, 5, 3), b""))


@pytest.mark.parametrize("view", ["[::-1]", "[:, ::-1]", "[..., ::-1]", "[1::2, ::3]", ".transpose(1, 0, 2)"])
def test_numpy_views_are_encoded_as_they_look(view: str) -> None:
    np = pytest.importorskip("numpy")
    array = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    seen = {
        "[::-1]": array[::-1],
        "[:, ::-1]": array[:, ::-1],
        "[..., ::-1]": array[..., ::-1],
        "[1::2, ::3]": array[1::2, ::3],
        ".transpose(1, 0, 2)": array.transpose(1, 0, 2),
    }[view]
    width, height, channels, pixels = png_pixels(encode(seen).data)
    assert (height, width, channels) == seen.shape
    assert pixels == seen[..., ::-1].tobytes()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_a_pil_image_keeps_its_colours(mode: str) -> None:
    image_module = pytest.importorskip("PIL.Image")
    image = image_module.linear_gradient("L").resize((8, 6)).convert("RGB").convert(mode)
    decoded = image_module.open(io.BytesIO(encode(image).data))
    assert decoded.size == (8, 6)
    assert decoded.convert("RGB").tobytes() == image.convert("RGB").tobytes()


@pytest.mark.parametrize("mode", ["I", "I;16", "F"])
def test_a_pil_image_of_more_bits_says_what_to_do(mode: str) -> None:
    image_module = pytest.importorskip("PIL.Image")
    with pytest.raises(UnsupportedSource, match="more than eight bits"):
        encode(image_module.new(mode, (4, 4)))


def test_a_photograph_is_turned_upright_once_however_it_is_given() -> None:
    image_module = pytest.importorskip("PIL.Image")
    exif = image_module.Exif()
    exif[0x0112] = 6
    stored = io.BytesIO()
    image_module.new("RGB", (40, 20)).save(stored, "JPEG", exif=exif)
    photograph = image_module.open(stored)
    upright = image_module.open(io.BytesIO(encode(photograph).data))
    assert upright.size == (20, 40)
    assert 0x0112 not in upright.getexif()
    # Pixels that the caller has worked on are what he sees; their left-over EXIF is not applied again.
    turned = image_module.open(io.BytesIO(encode(photograph.rotate(90, expand=True)).data))
    assert turned.size == (20, 40)


def test_a_folder_gives_its_images_sorted_and_below(folder: Path) -> None:
    assert names(expand(folder), folder) == ["a.jpg", "b.PNG", "below/deep/y.bmp", "below/z.webp"]
    assert names(expand(str(folder), pdf=True), folder)[2:] == ["below/deep/y.bmp", "below/z.webp", "c.pdf"]


def test_lists_nest_and_keep_their_order(folder: Path) -> None:
    sources = [b"1", [b"2", (b"3", {"img": b"4"})], deque([b"5"]), (b for b in (b"6", b"7"))]
    assert list(expand(sources)) == [b"1", b"2", b"3", b"4", b"5", b"6", b"7"]
    assert names(expand([[folder / "below"]]), folder) == ["below/deep/y.bmp", "below/z.webp"]


@pytest.mark.parametrize("source", ["a.png", Path("a.png"), b"ab", memoryview(b"ab"), io.BytesIO(b"a\nb\n")])
def test_a_single_source_is_never_taken_apart(source: Any) -> None:
    assert list(expand(source)) == [source]


def test_an_array_is_never_taken_apart() -> None:
    array = FakeArray((2, 2), bytes(4))
    assert list(expand([array])) == [array]


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".hidden.png").touch()
    with pytest.raises(UnsupportedSource, match=f"{tmp_path} holds no file"):
        list(expand(tmp_path))


class Broken:
    """A file object, an array and a path whose own methods fail."""

    def __init__(self, error: Exception, **fields: Any) -> None:
        self._error = error
        self.__dict__.update(fields)

    def read(self) -> bytes:
        raise self._error


class BrokenArray(FakeArray):
    def tobytes(self) -> bytes:
        raise TypeError(b"secret pixels")


def closed_file(path: Path) -> Any:
    path.write_bytes(b"pixels")
    with path.open("rb") as file:
        pass
    return file


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (closed_file, "closed: open it again"),
        (lambda _: Broken(OSError(5, "Input/output error")), "cannot be read: Input/output error"),
        (lambda _: Broken(RuntimeError("secret pixels")), r"cannot be read as an image \(RuntimeError\)"),
        (lambda _: BrokenArray((1, 1), b"x"), r"cannot be read as an image \(TypeError\)"),
        (lambda _: FakeArray((2, 2), b"x"), "cannot be read as an image"),
        (lambda _: FakeArray((2, 2), b"xxxx", dtype="object"), "array of object"),
        (lambda _: "a\0b.png", "no file can have that name"),
        (lambda _: "x" * 5000 + ".png", "cannot be read: File name too long"),
    ],
)
def test_whatever_a_source_raises_is_an_unsupported_source(make: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedSource, match=words) as caught:
        encode(make(tmp_path / "a.png"))
    assert "secret" not in caught.value.message


def test_a_file_without_permission_is_an_unsupported_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UnsupportedSource, match="cannot be read: Permission denied"):
        encode(tmp_path / "a.png")


def test_a_folder_that_cannot_be_listed_fails_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan, locked = os.scandir, folder / "below"

    def refuse(path: Any) -> Any:
        if Path(path) == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != locked)
    found = list(expand(folder))
    assert names(iter(found), folder) == ["a.jpg", "b.PNG", "below"]
    with pytest.raises(UnsupportedSource, match="below cannot be read: allow this user"):
        encode(locked)


def test_a_name_that_is_no_text_is_still_a_name(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")
    Path(path).write_bytes(b"pixels")
    assert encode(path).name == f"{tmp_path}/?.png"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("gone/", "There is no folder gone/"),
        ("gone", "There is no folder gone"),
        ("gone.png", "There is no file gone.png"),
    ],
)
def test_a_missing_input_is_named(path: str, words: str) -> None:
    with pytest.raises(UnsupportedSource, match=words):
        encode(path)


def test_a_folder_without_images_names_what_it_left_out(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedSource, match="it is empty"):
        list(expand(tmp_path))
    for name in (".a.png", ".thumbs/b.png", "c.txt", "d.gif", "e.heic", "f.raw"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UnsupportedSource) as caught:
        list(expand(tmp_path))
    assert "2 hidden (.a.png, b.png)" in caught.value.message
    assert "4 with another suffix (c.txt, d.gif, e.heic, ...)" in caught.value.message


def test_every_suffix_of_jpeg_counts(tmp_path: Path) -> None:
    for name in ("a.jfif", "b.JPE", "c.jpeg", "d.jpg"):
        (tmp_path / name).write_bytes(b"x")
    assert names(expand(tmp_path), tmp_path) == ["a.jfif", "b.JPE", "c.jpeg", "d.jpg"]
