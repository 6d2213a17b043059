"""The demo's faces and pictures: a gallery of real people built and searched; pictures alike, and classed."""

from pathlib import Path
from typing import Final

from PIL import Image
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from skimage import data

from api_client import (
    CLASSIFY_IMAGE,
    DELETE_GALLERY,
    IDENTIFY_FACES,
    REMOVE_GALLERY,
    SEARCH_IMAGE,
    Client,
    DeleteGallery,
    RemoveGallery,
    append_gallery,
    build_gallery,
)
from local.photographs import photographs

PEOPLE: Final = "demo-people"
PICTURES: Final = "demo-pictures"
_PICTURES: Final = ("astronaut", "chelsea", "coffee", "rocket")
_HEIGHT: Final = 480


def know_faces(client: Client, console: Console, output: Path) -> None:
    """Build a gallery of one photograph a person, name the people of a group picture, remove one of them."""
    console.rule("[bold]Faces: a gallery of real people")
    _delete(client, PEOPLE)
    group = output / "group.png"
    people = _people()
    firsts = [(paths[0], person) for person, paths in people.items()]
    build_gallery(client, PEOPLE, firsts[:-1], kind="faces", several_faces="largest")
    append_gallery(client, PEOPLE, firsts[-1:], several_faces="largest")
    _side_by_side([paths[-1] for paths in people.values()]).save(group)
    found = client.enqueue(IDENTIFY_FACES, group, gallery=PEOPLE).result(timeout=120)
    found.save_to_img(output)
    table = Table("in the group picture", "score", "after one is removed", box=SIMPLE)
    leaver = firsts[0][1]
    receipt = client.enqueue(REMOVE_GALLERY, RemoveGallery(gallery=PEOPLE, labels=(leaver,))).result(60)
    after = client.enqueue(IDENTIFY_FACES, group, gallery=PEOPLE).result(timeout=120)
    for face, then in zip(found.faces, after.faces, strict=True):
        score = f"{face.rec_results[0].score:.3f}" if face.rec_results else ""
        table.add_row(face.label or "unknown", score, then.label or "unknown")
    console.print(table)
    console.print(
        f"{leaver} was removed as {len(receipt.ids)} vector; searches for it failed, as they have to. "
        f"It is out of every file by {receipt.purge_by:%Y-%m-%d %H:%M} UTC."
    )


def know_pictures(client: Client, console: Console, output: Path) -> None:
    """Search photographs by small copies of them, and tell what each shows."""
    console.rule("[bold]Pictures: alike, and classed")
    _delete(client, PICTURES)
    paths = {name: output / f"{name}.png" for name in _PICTURES}
    for name, path in paths.items():
        Image.fromarray(getattr(data, name)()).convert("RGB").save(path)
    build_gallery(client, PICTURES, [(path, name) for name, path in paths.items()], kind="images")
    table = Table("a small copy of", "is most like", "score", "and shows", "probability", box=SIMPLE)
    for name, path in paths.items():
        with Image.open(path) as image:
            small = image.resize((160, 120))
        alike = client.enqueue(SEARCH_IMAGE, small, gallery=PICTURES, top_k=1).result(timeout=60)
        shown = client.enqueue(CLASSIFY_IMAGE, path, top_k=3).result(timeout=60)
        shown.save_to_img(output)
        (best,) = alike.rec_results
        share = shown.class_probs[shown.class_name]
        table.add_row(name, best.label, f"{best.score:.3f}", shown.class_name, f"{share:.2f}")
    console.print(table)


def _people() -> dict[str, list[Path]]:
    people: dict[str, list[Path]] = {}
    for photograph in photographs():
        if photograph.whole:
            people.setdefault(photograph.person, []).append(photograph.path)
    return people


def _side_by_side(paths: list[Path]) -> Image.Image:
    images = [_scaled(path) for path in paths]
    group = Image.new("RGB", (sum(image.width for image in images), _HEIGHT))
    left = 0
    for image in images:
        group.paste(image, (left, 0))
        left += image.width
    return group


def _scaled(path: Path) -> Image.Image:
    with Image.open(path) as image:
        size = (round(image.width * _HEIGHT / image.height), _HEIGHT)
        return image.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def _delete(client: Client, gallery: str) -> None:
    """What an earlier run left."""
    client.enqueue(DELETE_GALLERY, DeleteGallery(gallery=gallery)).result(timeout=60)
