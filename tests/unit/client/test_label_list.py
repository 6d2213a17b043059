"""gallery.txt and remove_ids.txt: labels with spaces, and errors that name the line."""

from pathlib import Path

import pytest

from paddlewheel.errors import LabelListInvalid
from paddlewheel.sources.label_list import read_gallery_list, read_labels, read_remove_ids


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("images/a.jpg", "images/two words.jpg"):
        path = tmp_path / "gallery" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "gallery"


def gallery_list(root: Path, text: str) -> list[tuple[str, str, int]]:
    file = root / "gallery.txt"
    file.write_bytes(text.encode())
    return [
        (str(image.path.relative_to(root)), image.label, image.line)
        for image in read_gallery_list(file, root)
    ]


def test_labels_and_paths_may_hold_spaces(root: Path) -> None:
    text = (
        "\ufeffimages/a.jpg Chandler\r\n\n"
        "images/a.jpg  Chandler Bing \n"
        "images/two words.jpg 钱德勒 Bing\n"
        "images/two words.jpg\tRoss\n"
    )
    assert gallery_list(root, text) == [
        ("images/a.jpg", "Chandler", 1),
        ("images/a.jpg", "Chandler Bing", 3),
        ("images/two words.jpg", "钱德勒 Bing", 4),
        ("images/two words.jpg", "Ross", 5),
    ]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("images/a.jpg", "no label"),
        ("images/b.jpg Ross", "no image"),
        ("../../etc/passwd root", "not under"),
        ("/etc/passwd root", "not under"),
        ("images/a.jpg\t", "no label"),
    ],
)
def test_a_bad_line_of_the_gallery_is_named(root: Path, line: str, what: str) -> None:
    with pytest.raises(LabelListInvalid, match=rf"gallery\.txt, line 3: .*{what}"):
        gallery_list(root, f"images/a.jpg ok\n\n{line}\n")


def test_bytes_that_are_no_text_are_named_by_line(root: Path) -> None:
    (root / "gallery.txt").write_bytes(b"images/a.jpg ok\nimages/a.jpg \xff\xfe\n")
    with pytest.raises(LabelListInvalid, match="line 2: not UTF-8"):
        read_gallery_list(root / "gallery.txt", root)


def test_a_missing_list_is_reported(root: Path) -> None:
    with pytest.raises(LabelListInvalid, match="cannot be read"):
        read_remove_ids(root / "none.txt")


def test_remove_ids_takes_the_first_word_of_each_line(root: Path) -> None:
    file = root / "remove_ids.txt"
    file.write_text("3\n\n 17 Chandler Bing\n-1\n")
    assert read_remove_ids(file) == (3, 17, -1)


def test_a_bad_line_of_remove_ids_is_named(root: Path) -> None:
    file = root / "remove_ids.txt"
    file.write_text("3\nx7\n")
    with pytest.raises(LabelListInvalid, match=r"remove_ids\.txt, line 2: 'x7'"):
        read_remove_ids(file)


def test_a_list_with_an_impossible_name_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(LabelListInvalid, match="cannot be read"):
        read_labels(tmp_path / "a\0b.txt")
    (tmp_path / "gallery.txt").write_text("x" * 5000 + ".png label\n")
    with pytest.raises(LabelListInvalid, match="line 1: there is no image"):
        read_gallery_list(tmp_path / "gallery.txt", tmp_path)
