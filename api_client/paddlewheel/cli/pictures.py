"""The commands that look at pictures: faces, features, classes."""

from typing import Any

import click

from paddlewheel.cli.commands import main, run_options, run_pictures
from paddlewheel.cli.exit_codes import exit_code_help
from paddlewheel.cli.page_ranges import page_option
from paddlewheel.contracts.faces import DETECT_FACES, EMBED_FACES, IDENTIFY_FACES
from paddlewheel.contracts.images import CLASSIFY_IMAGE, EXTRACT_FEATURE

MIN_SCORE = click.option(
    "--min-score",
    metavar="SCORE",
    type=click.FloatRange(0, 1),
    help="Drop faces that the detector is less sure of; its own threshold unless given.",
)
DETECTION_MODEL = click.option(
    "--detection-model", metavar="NAME", help="The face detector; the worker's default unless given."
)
MODEL = click.option("--model", metavar="NAME", help="The model; the worker's default unless given.")


def search_options(command: Any) -> Any:
    """The options of a search in a gallery."""
    for option in (
        click.option("--details", is_flag=True, help="With --json, the external ids of what was found too."),
        click.option("--by-label", is_flag=True, help="Name each label once, by its best vector."),
        click.option(
            "--threshold",
            metavar="SCORE",
            type=float,
            help="Leave out what is less alike; the model's own threshold unless given.",
        ),
        click.option("--top-k", metavar="N", type=click.IntRange(1, 1000), help="Matches; 5 unless given."),
    ):
        command = option(command)
    return command


def search_fields(given: dict[str, Any]) -> dict[str, Any]:
    """Take the search's options out of a command's, as fields of the request."""
    level = "label" if given.pop("by_label") else None
    fields = {"level": level, "details": given.pop("details") or None}
    return fields | {name: given.pop(name) for name in ("top_k", "threshold")}


@main.group(epilog=exit_code_help())
def faces() -> None:
    """Find, embed and identify faces in pictures.

    \b
    Examples:
      paddlewheel faces detect photo.jpg --save-img drawn/
      paddlewheel faces embed photo.jpg --json
      paddlewheel faces identify party.jpg --gallery staff
    """


@faces.command()
@MODEL
@MIN_SCORE
@page_option
@run_options
def detect(model: str | None, min_score: float | None, **shared: Any) -> None:
    """Find every face, the largest first.

    PATH is an image, a folder, a blob's address or '-'. A line says the face's size, where its top left
    corner is, and the detector's score; --json has the five landmarks too.

    \b
    Example:
      paddlewheel faces detect photos/ --json > faces.jsonl
    """
    run_pictures(DETECT_FACES, options={"model": model, "min_score": min_score}, **shared)


@faces.command()
@MODEL
@DETECTION_MODEL
@MIN_SCORE
@page_option
@run_options
def embed(model: str | None, detection_model: str | None, min_score: float | None, **shared: Any) -> None:
    """Find every face and turn it into an embedding; --json prints the floats.

    \b
    Example:
      paddlewheel faces embed portrait.jpg --json | jq '.res.faces[0].feature'
    """
    options = {"model": model, "detection_model": detection_model, "min_score": min_score}
    run_pictures(EMBED_FACES, options=options, **shared)


@faces.command()
@click.option("--gallery", metavar="KEY", required=True, help="The gallery of faces to look in.")
@DETECTION_MODEL
@MIN_SCORE
@search_options
@page_option
@run_options
def identify(gallery: str, detection_model: str | None, min_score: float | None, **shared: Any) -> None:
    """Find every face and identify it.

    A face that the gallery does not know is 'unknown'. The gallery says which model embeds.

    \b
    Examples:
      paddlewheel faces identify party.jpg --gallery staff --save-img drawn/
      paddlewheel faces identify photos/ --gallery staff --threshold 0.9 --json
    """
    options = {"gallery": gallery, "detection_model": detection_model, "min_score": min_score}
    options |= search_fields(shared)
    run_pictures(IDENTIFY_FACES, options=options, **shared)


@main.command()
@MODEL
@page_option
@run_options
def features(model: str | None, **shared: Any) -> None:
    """Turn pictures into features, which are near each other for pictures that are alike.

    \b
    Example:
      paddlewheel features photos/ --json | jq -c .res.feature
    """
    if shared["save_img"] is not None:
        raise click.UsageError("A feature cannot be drawn: save it with --save-json.")
    run_pictures(EXTRACT_FEATURE, options={"model": model}, **shared)


@main.command()
@MODEL
@click.option("--top-k", metavar="N", type=click.IntRange(1), help="Classes; 5 unless given.")
@page_option
@run_options
def classify(model: str | None, top_k: int | None, **shared: Any) -> None:
    """Classify pictures: print the best classes of each and their probabilities.

    \b
    Examples:
      paddlewheel classify photo.jpg
      paddlewheel classify photos/ --top-k 1 --json | jq -r '[.res.input_path, .res.class_name] | @tsv'
    """
    run_pictures(CLASSIFY_IMAGE, options={"model": model, "top_k": top_k}, **shared)
