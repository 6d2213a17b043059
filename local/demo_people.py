"""The demo's faces: builds a gallery of real people, appends to it, searches it and removes a person."""

from pathlib import Path
from typing import Final

from PIL import Image, ImageOps
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from local.photographs import photographs
from paddlewheel import (
    DELETE_GALLERY,
    IDENTIFY_FACES,
    REMOVE_GALLERY,
    Client,
    DeleteGallery,
    IdentifiedFaces,
    RemoveGallery,
    append_gallery,
    build_gallery,
)

GALLERY: Final = "demo-people"
_HEIGHT: Final = 480


def know_people(client: Client, console: Console, output: Path) -> None:
    """Identify the faces of a group picture, before and after one person is added and another removed."""
    console.rule("[bold]Faces: who is in the picture?")
    delete(client, GALLERY)
    people = _people()
    group = output / "group.png"
    _side_by_side([_other_picture(paths) for paths in people.values()]).save(group)
    *first, last = [(paths[0], person) for person, paths in people.items()]

    build_gallery(client, GALLERY, first, kind="faces", several_faces="largest")
    built = _named(client, group)
    append_gallery(client, GALLERY, [last], several_faces="largest")
    appended = _named(client, group)
    leaver = first[0][1]
    receipt = client.enqueue(REMOVE_GALLERY, RemoveGallery(gallery=GALLERY, labels=(leaver,))).result(60)
    removed = _named(client, group)

    table = Table("face", f"gallery of {len(first)}", f"{last[1]} appended", f"{leaver} removed", box=SIMPLE)
    for number, faces in enumerate(zip(built.faces, appended.faces, removed.faces, strict=True), 1):
        table.add_row(str(number), *(_name(face.label, face.caption) for face in faces))
    console.print(table)
    console.print(f"One picture of {len(appended.faces)} faces took {appended.served.total_ms:.0f} ms.")
    console.print(
        f"{leaver} was {len(receipt.ids)} vector: no search finds it any more, and it is out of every "
        f"file by {receipt.purge_by:%Y-%m-%d %H:%M} UTC."
    )
    appended.save_to_img(output / "group_with_everybody.png")
    removed.save_to_img(output / "group_after_the_removal.png")
    appended.save_to_json(output)


def delete(client: Client, gallery: str) -> None:
    """Delete the gallery of an earlier run."""
    client.enqueue(DELETE_GALLERY, DeleteGallery(gallery=gallery)).result(timeout=60)


def _named(client: Client, group: Path) -> IdentifiedFaces:
    return client.enqueue(IDENTIFY_FACES, group, gallery=GALLERY).result(timeout=120)


def _name(label: str | None, caption: str) -> str:
    return f"[green]{caption}[/]" if label else "[dim]unknown[/]"


def _people() -> dict[str, list[Path]]:
    people: dict[str, list[Path]] = {}
    for photograph in photographs():
        if photograph.whole:
            people.setdefault(photograph.person, []).append(photograph.path)
    return people


def _other_picture(paths: list[Path]) -> Image.Image:
    """A photograph that is not in the gallery; the mirrored one if there is only one."""
    with Image.open(paths[-1]) as image:
        picture = image.convert("RGB")
    return picture if len(paths) > 1 else ImageOps.mirror(picture)


def _side_by_side(pictures: list[Image.Image]) -> Image.Image:
    scaled = [
        each.resize((round(each.width * _HEIGHT / each.height), _HEIGHT), Image.Resampling.LANCZOS)
        for each in pictures
    ]
    group = Image.new("RGB", (sum(each.width for each in scaled), _HEIGHT))
    left = 0
    for each in scaled:
        group.paste(each, (left, 0))
        left += each.width
    return group
