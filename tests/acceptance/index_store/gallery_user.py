"""One process of the concurrency test: does what each line of its standard input says, in JSON.

    python -m tests.acceptance.index_store.gallery_user URL SEGMENTS KEY NUMBER

It answers each line with one line: the ids that were appended, removed or found.
"""

import json
import sys
from pathlib import Path

from database.pool import Database
from index_store.segment_folder import SegmentFolder
from index_store.store import GalleryStore
from tests.embeddings import random_embeddings

DIMENSION = 32


def main(url: str, segments: str, key: str, number: int) -> None:
    """Answer commands until standard input ends."""
    store = GalleryStore(Database(url), SegmentFolder(Path(segments)))
    for line in sys.stdin:
        command = json.loads(line)
        answer: object
        if command["do"] == "append":
            rows = random_embeddings(command["count"], DIMENSION, seed=command["seed"])
            answer = store.append(key, rows, [f"process {number}"] * len(rows)).ids
        elif command["do"] == "remove":
            answer = store.remove(key, ids=command["ids"]).ids
        else:
            rows = random_embeddings(command["count"], DIMENSION, seed=command["seed"])
            answer = [[hit.id for hit in hits] for hits in store.search(key, rows, top_k=3)]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
