"""A client in a process of its own: adds people to a gallery, removes some, and prints what was acknowledged.

`python -m tests.acceptance.gallery_client URL GALLERY FIRST COUNT build|append` names its people by number.
A line of JSON says that a step is done; the last line has every id with its label, and the ids removed.
"""

import json
import sys
import time

from local.rendering import png
from paddlewheel import (
    DESCRIBE_GALLERY,
    REMOVE_GALLERY,
    Client,
    DescribeGallery,
    RemoveGallery,
    append_gallery,
    build_gallery,
)
from paddlewheel.errors import GalleryNotFound
from tests.data.people import BIDEN, OBAMA, load_photograph, portraits

TIMEOUT = 180
STEP = 4


def people(first: int, count: int) -> list[tuple[bytes, str]]:
    """So many different pictures, each of a person of its own by its label."""
    photographs = [load_photograph(path, 200) for path in (*portraits(OBAMA)[:2], portraits(BIDEN)[0])]
    pictures = []
    for number in range(first, first + count):
        picture = photographs[number % 3].copy()
        picture.putpixel((0, 0), (number, 0, 0))
        pictures.append((png(picture), f"person {number}"))
    return pictures


def report(progress: object) -> None:
    print(json.dumps(progress), flush=True)


def main(url: str, gallery: str, first: int, count: int, mode: str) -> None:
    options = {
        "operation_id": f"{mode}-{first}",
        "step": STEP,
        "several_faces": "largest",
        "timeout": TIMEOUT,
        "on_progress": lambda done, total: report({"done": done, "total": total}),
    }
    with Client(url) as client:
        if mode == "build":
            added = build_gallery(client, gallery, people(first, count), kind="faces", **options)
        else:
            wait_for(client, gallery)
            added = append_gallery(client, gallery, people(first, count), **options)
        removed: list[int] = []
        for number in range(first, first + count, 5):
            request = RemoveGallery(gallery=gallery, labels=(f"person {number}",))
            removed += client.enqueue(REMOVE_GALLERY, request).result(TIMEOUT).ids
    report({"counts": added.counts, "id_map": added.id_map, "removed": removed})


def wait_for(client: Client, gallery: str) -> None:
    """Until the other process has made it."""
    while True:
        try:
            client.enqueue(DESCRIBE_GALLERY, DescribeGallery(gallery=gallery)).result(TIMEOUT)
        except GalleryNotFound:
            time.sleep(0.05)
        else:
            return


if __name__ == "__main__":
    _, url, gallery, first, count, mode = sys.argv
    main(url, gallery, int(first), int(count), mode)
