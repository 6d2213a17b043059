"""The demo's pictures: searches for similar ones, and classifies a folder."""

from pathlib import Path
from typing import Final

from PIL import Image
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from skimage import data

from local.demo_people import delete
from paddlewheel import CLASSIFY_IMAGE, SEARCH_IMAGE, Client, build_gallery

GALLERY: Final = "demo-pictures"
PICTURES: Final = ("astronaut", "chelsea", "coffee", "motorcycle_left", "rocket")
"""Photographs of scikit-image. The motorcycle is indexed from the left and searched from the right."""


def know_pictures(client: Client, console: Console, output: Path) -> None:
    """Search photographs by another view, a crop and a mirrored copy, then classify them all."""
    console.rule("[bold]Pictures: which are similar, and what do they show?")
    folder = output / "pictures"
    folder.mkdir(exist_ok=True)
    left, right, _ = data.stereo_motorcycle()  # type: ignore[no-untyped-call]
    arrays = {name: left if name == "motorcycle_left" else getattr(data, name)() for name in PICTURES}
    paths = {name: folder / f"{name}.jpg" for name in PICTURES}
    for name, path in paths.items():
        Image.fromarray(arrays[name]).convert("RGB").save(path, quality=92)
    delete(client, GALLERY)
    build_gallery(client, GALLERY, [(path, name) for name, path in paths.items()], kind="images")

    queries = {
        "the motorcycle from the right": Image.fromarray(right).convert("RGB"),
        "a part of the cat": Image.open(paths["chelsea"]).crop((60, 20, 400, 280)),
        "the coffee, small and mirrored": Image.open(paths["coffee"])
        .resize((150, 100))
        .transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    }
    table = Table("query", "most similar", "score", "second", "score", box=SIMPLE)
    for number, (words, picture) in enumerate(queries.items(), 1):
        query = output / f"query_{number}.png"
        picture.save(query)
        found = client.enqueue(SEARCH_IMAGE, query, gallery=GALLERY, top_k=3, threshold=-1).result(timeout=60)
        best, second = found.rec_results[:2]
        table.add_row(words, best.label, f"{best.score:.3f}", second.label, f"{second.score:.3f}")
        found.save_to_img(output)
        found.save_to_json(output)
    console.print(table)

    table = Table("picture", "shows", "probability", "or else", box=SIMPLE)
    pendings = client.enqueue_many(CLASSIFY_IMAGE, [folder], top_k=3)
    for pending in pendings:
        shown = pending.result(timeout=60)
        first, *others = shown.class_probs
        table.add_row(
            Path(shown.input_path or "").stem, first, f"{shown.class_probs[first]:.2f}", "; ".join(others)
        )
        shown.save_to_img(output)
    console.print(table)
