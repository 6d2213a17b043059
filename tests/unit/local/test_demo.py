"""The demo's own parts; what it shows, the acceptance tests try."""

from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from local.demo import NEXT, show_next
from local.demo_people import _side_by_side
from paddlewheel.cli import main


@pytest.mark.parametrize("command", [command for command, _ in NEXT])
def test_every_suggested_command_exists(command: str) -> None:
    assert command.split()[0] in main.commands


def test_the_end_names_every_picture_and_both_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("page_ocr_res_img.png", "coffee_class_res_img.jpg", "group_with_everybody.png", "page.png"):
        (tmp_path / name).touch()
    monkeypatch.setattr("local.demo.local_connection", lambda _: {"flower_url": "http://flower"})
    console = Console(record=True, width=300)
    show_next(console, tmp_path)
    shown = console.export_text()
    for name in ("page_ocr_res_img.png", "coffee_class_res_img.jpg", "group_with_everybody.png"):
        assert name in shown
    assert "http://flower" in shown


def test_pictures_of_any_size_stand_side_by_side() -> None:
    group = _side_by_side([Image.new("RGB", (300, 960)), Image.new("RGB", (480, 480))])
    assert group.size == (150 + 480, 480)
