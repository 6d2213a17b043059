"""Does a line's answer depend on the lines that it is batched with? It must not.

    python -m benchmarks.neighbours [--lines N] [--seed S]

Reads every line alone through a running service, then all of them again in shuffled order and in bulk, and
compares. Texts have to be equal; scores may differ in the last digits that float32 sums leave open.
"""

import argparse
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.lines import render_lines
from local.checkout import CHECKOUT
from local.stack import LocalStack
from paddlewheel import RECOGNIZE_TEXT, Client, RecognizedText

TOLERANCE: Final = 1e-4


def main() -> int:
    """Print how many lines were compared and the largest difference; 1 if an answer changed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.neighbours", description=__doc__)
    parser.add_argument("--lines", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=17)
    given = parser.parse_args()
    lines = [line.png for line in render_lines(given.lines, seed=given.seed)]
    home = str(CHECKOUT / ".paddlewheel" / "models")
    with (
        tempfile.TemporaryDirectory(prefix="paddlewheel-") as folder,
        LocalStack(
            Path(folder),
            services={"valkey", "worker"},
            environment={"PADDLEWHEEL_MODEL_HOME": home, "PADDLEWHEEL_LOG_LEVEL": "WARNING", **os.environ},
            ephemeral=True,
        ) as stack,
        Client(stack.servers.broker_url) as client,
    ):
        refs = client.put_many(lines)
        alone = [client.enqueue(RECOGNIZE_TEXT, ref).result(120) for ref in refs]
        order = list(range(len(refs)))
        random.Random(given.seed).shuffle(order)
        pendings = client.enqueue_many(RECOGNIZE_TEXT, [refs[i] for i in order])
        together = {i: pending.result(600) for i, pending in zip(order, pendings, strict=True)}
    return report(alone, [together[i] for i in range(len(refs))])


def report(alone: list[RecognizedText], together: list[RecognizedText]) -> int:
    """Compare, print, and say whether the promise holds."""
    changed = sum(one.rec_text != other.rec_text for one, other in zip(alone, together, strict=True))
    largest = max(abs(one.rec_score - other.rec_score) for one, other in zip(alone, together, strict=True))
    sizes = [result.served.batch_size for result in together]
    print(
        f"{len(alone)} lines, alone and in batches of {sum(sizes) / len(sizes):.1f} on average: "
        f"{changed} texts changed, largest difference of a score {largest:.2e}"
    )
    return 1 if changed or largest > TOLERANCE else 0


if __name__ == "__main__":
    sys.exit(main())
