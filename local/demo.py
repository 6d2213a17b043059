"""The demo: reads a page, text lines and a PDF, recognises faces and pictures, and measures the batcher.

Pictures, models and servers are real. The demo writes pictures and JSON files to a folder.
"""

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import track
from rich.table import Table
from skimage import data

from local.checkout import CHECKOUT
from local.demo_http import ask_over_http
from local.demo_people import know_people
from local.demo_pictures import know_pictures
from local.rendering import draw_line, draw_page, png
from local.stack import LocalStack
from paddlewheel import READ_PAGES, RECOGNIZE_TEXT, Client, Pending, ReadDocument, RecognizedText
from paddlewheel.wire.addresses import local_connection

THROUGHPUT_LINES: Final = 200

# The face of the font collection: 0 is Japanese, 1 Korean, 2 simplified Chinese.
LINES: Final = (
    ("The quick brown fox jumps over the lazy dog", 22, 2),
    ("Invoice 2026-1187   1,284.50 EUR", 36, 2),
    ("PADDLEWHEEL", 64, 2),
    ("绿洲仕格维花园公寓", 40, 2),
    ("文本识别模块是系统中的核心部分", 28, 2),
    ("订单号 7731 共 3 件", 32, 2),
    ("Größe, café, señor, naïve, Øresund", 32, 2),
    ("東京都新宿区西新宿二丁目", 36, 0),
    ("ありがとうございます", 44, 0),
)
NEXT: Final = (
    ("read {}/page.png --timings", "text of a page"),
    ("faces identify {}/group.png --gallery demo-people", "who is in a picture"),
    ("classify {}/pictures", "a folder of pictures"),
    ("gallery describe demo-people", "what a gallery is made of"),
    ("models list", "all available models"),
    ("dead list", "tasks that failed for good"),
)
REPORT: Final = (
    (
        "Quarterly report",
        "All figures in thousands of euros.",
        "Revenue 1,284.50, costs 731.20, result 553.30.",
        "The second quarter was the best since 2019:",
        "orders rose by 12 %, returns fell by 3 %.",
        "绿洲仕格维花园公寓 订单 7731",
    ),
    (
        "Method",
        "Every page is drawn, searched for lines,",
        "and the lines of all pages are read in batches.",
        "A line keeps its place, its score and its angle.",
    ),
    ("Summary", "Three pages, one task, one answer.", "Nothing was lost on the way."),
)


def run(console: Console, output: Path) -> None:
    """Run every part against the service whose addresses are in the environment or the checkout."""
    output.mkdir(parents=True, exist_ok=True)
    with Client() as client:
        read_a_page(client, console, output)
        read_lines(client, console, output)
        read_a_pdf(client, console, output)
        know_people(client, console, output)
        know_pictures(client, console, output)
        ask_over_http(local_connection(CHECKOUT)["gateway_url"], console, output)
        compare_throughput(client, console)
    show_next(console, output)


def show_next(console: Console, output: Path) -> None:
    """List the pictures, and suggest the next commands."""
    pictures = sorted(path.name for path in output.iterdir() if path.stem.endswith("_img"))
    pictures += sorted(path.name for path in output.glob("group_*"))
    console.rule("[bold]Your turn")
    console.print(f"[bold]Look at[/] {output}/: {', '.join(pictures)}, and the JSON files beside them.\n")
    for command, words in NEXT:
        console.print(f"  .venv/bin/paddlewheel {command.format(output):<58} [dim]{words}[/]", soft_wrap=True)
    flower = local_connection(CHECKOUT)["flower_url"]
    console.print(f"\nFlower shows the tasks: {flower} ('make status' says more); 'make down' stops all.")


def read_a_page(client: Client, console: Console, output: Path) -> None:
    """Read scikit-image's photograph of a printed page, enlarged to the resolution of a scan."""
    console.rule("[bold]A printed page")
    page = Image.fromarray(data.page()).convert("RGB")  # type: ignore[no-untyped-call]
    path = output / "page.png"
    page.resize((page.width * 2, page.height * 2), Image.Resampling.BICUBIC).save(path)
    document = client.enqueue(READ_PAGES, path).result(timeout=120)
    show_document(document, console)
    document.save_to_img(output)
    document.save_to_json(output)


def read_lines(client: Client, console: Console, output: Path) -> None:
    """Read lines in several sizes and scripts."""
    console.rule("[bold]Text lines, rendered in several sizes and scripts")
    table = Table("rendered", "read", "score", "model", "queue ms", "batch", "model ms", box=SIMPLE)
    pendings: list[tuple[str, Pending[RecognizedText]]] = []
    for number, (text, size, face) in enumerate(LINES, 1):
        path = output / f"line_{number}.png"
        draw_line(text, size, face).save(path)
        pendings.append((text, client.enqueue(RECOGNIZE_TEXT, path)))
    for text, pending in pendings:
        result = pending.result(timeout=120)
        table.add_row(text, result.rec_text, f"{result.rec_score:.3f}", *timings(result))
        result.save_to_img(output)
    console.print(table)


def read_a_pdf(client: Client, console: Console, output: Path) -> None:
    """Read a PDF of three pages in one task."""
    console.rule("[bold]A PDF")
    pages = [draw_page(lines) for lines in REPORT]
    path = output / "report.pdf"
    pages[0].save(path, save_all=True, append_images=pages[1:], resolution=150)
    pending = client.enqueue(READ_PAGES, path)
    document = pending.result(timeout=180)
    show_document(document, console)
    document.save_to_img(output)
    document.save_to_json(output)


def compare_throughput(client: Client, console: Console) -> None:
    """Read the same lines with this service and with one whose batches hold a single item."""
    console.rule("[bold]Throughput, batcher on and off")
    images = [
        png(draw_line(f"order {number:04d} of {THROUGHPUT_LINES}", 30)) for number in range(THROUGHPUT_LINES)
    ]
    table = Table("", "lines/s", "mean batch", "seconds", box=SIMPLE)
    speed, batch, seconds = throughput(client, images)
    table.add_row("batcher on", f"{speed:.0f}", f"{batch:.1f}", f"{seconds:.2f}")
    with (
        tempfile.TemporaryDirectory(prefix="paddlewheel-") as folder,
        console.status("Starting a second service, with the batcher off"),
        LocalStack(
            Path(folder),
            services={"valkey", "worker"},
            environment=without_batches(),
            ephemeral=True,
        ) as stack,
        Client(stack.servers.broker_url) as other,
    ):
        off_speed, off_batch, off_seconds = throughput(other, images)
    table.add_row("batcher off", f"{off_speed:.0f}", f"{off_batch:.1f}", f"{off_seconds:.2f}")
    console.print(table)
    console.print(
        f"Batching is {speed / off_speed:.2f} times as fast here. A CPU computes a batch about as fast as "
        "single items;\na GPU gains much more. This is a single run; benchmarks/ measures with care."
    )


def without_batches() -> dict[str, str]:
    """The environment of a worker that serves only text and runs every item alone."""
    families = ("FACE_DETECTION", "FACE_FEATURE", "IMAGE_FEATURE", "CLASSIFICATION")
    others = {f"PADDLEWHEEL_{family}_MODELS": "none" for family in families}
    home = os.environ.get("PADDLEWHEEL_MODEL_HOME", str(CHECKOUT / ".paddlewheel" / "models"))
    return {**os.environ, **others, "PADDLEWHEEL_MAX_BATCH_SIZE": "1", "PADDLEWHEEL_MODEL_HOME": home}


def throughput(client: Client, images: Sequence[bytes]) -> tuple[float, float, float]:
    """Measure lines per second, the mean size of a line's batch, and the seconds taken."""
    refs = client.put_many(images)
    for pending in client.enqueue_many(RECOGNIZE_TEXT, refs[:16]):
        pending.result(timeout=120)
    began = time.perf_counter()
    pendings = client.enqueue_many(RECOGNIZE_TEXT, refs)
    done = track(
        client.as_completed(pendings, timeout=300), total=len(pendings), transient=True, description="Reading"
    )
    results = [pending.result() for pending in done]
    seconds = time.perf_counter() - began
    sizes = [result.served.batch_size for result in results]
    return len(results) / seconds, sum(sizes) / len(sizes), seconds


def show_document(document: ReadDocument, console: Console) -> None:
    """Print a table of lines, and how each page was served."""
    table = Table("page", "text", "score", box=SIMPLE)
    for page in document:
        number = "" if page.page_index is None else str(page.page_index)
        for text, score in zip(page.rec_texts, page.rec_scores, strict=True):
            table.add_row(number, text, f"{score:.3f}")
        table.add_section()
    console.print(table)
    for page in document:
        how = page.served
        where = f"{len(page.rec_texts)} lines by {how.model} on {how.engine}"
        console.print(
            f"page {page.page_index or 0}: {where} in {how.total_ms:.0f} ms, "
            f"{how.queue_ms or 0:.1f} ms in the queue, batches of up to {how.batch_size}"
        )


def timings(result: RecognizedText) -> tuple[str, str, str, str]:
    """Format model, queue time, batch size and model time."""
    served = result.served
    return (
        served.model.removesuffix("_rec"),
        f"{served.queue_ms or 0:.1f}",
        str(served.batch_size),
        f"{served.model_ms:.1f}",
    )
