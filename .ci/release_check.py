"""Check what a release would publish: `release_check.py DIST [--unreleased]`.

DIST holds one wheel and one source archive. Between releases, `--unreleased` accepts a changelog that has
no section for the version yet.
"""

import email
import re
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
VERSION = PROJECT["version"]


def check_wheel(path: Path) -> None:
    """The client, its metadata and its licence, and nothing else."""
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        info = f"paddlewheel-{VERSION}.dist-info"
        metadata = email.message_from_bytes(wheel.read(f"{info}/METADATA"))
    assert {name.split("/")[0] for name in names} == {"paddlewheel", info}, "the wheel holds other packages"
    assert "paddlewheel/py.typed" in names
    assert f"{info}/licenses/LICENSE" in names
    assert (metadata["Name"], metadata["Version"]) == ("paddlewheel", VERSION)
    assert metadata["License-Expression"] == PROJECT["license"]
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert str(metadata.get_payload()).startswith("# Paddlewheel"), "the README is not in the metadata"
    required = [each for each in metadata.get_all("Requires-Dist", []) if "extra ==" not in each]
    assert sorted(required) == sorted(PROJECT["dependencies"]), required


def check_source(path: Path) -> None:
    """What the wheel is built from."""
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "api_client/paddlewheel/__init__.py"}
    assert wanted <= names, wanted - names


def check_changelog() -> None:
    """A section with a date for the version."""
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    heading = rf"^## \[{re.escape(VERSION)}\] - \d{{4}}-\d\d-\d\d$"
    if not re.search(heading, changelog, re.MULTILINE):
        sys.exit(f"CHANGELOG.md has no section '## [{VERSION}] - YYYY-MM-DD'.")


def main(dist: Path, *, unreleased: bool) -> None:
    """Run every check; the first that fails ends the program."""
    (wheel,) = dist.glob("*.whl")
    (source,) = dist.glob("*.tar.gz")
    check_wheel(wheel)
    check_source(source)
    if not unreleased:
        check_changelog()
    print(f"paddlewheel {VERSION}: {wheel.name} and {source.name} are complete")


if __name__ == "__main__":
    main(Path(sys.argv[1]), unreleased="--unreleased" in sys.argv)
