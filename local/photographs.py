"""Photographs of people for the demo and the tests, from published packages; the repository holds none.

Those of face_recognition 1.3.0 are only in its source archive: `make setup` runs this module, which extracts
them and checks their SHA-256. The astronaut is part of the installed scikit-image.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Final

from local.checkout import CHECKOUT
from paddlewheel.errors import ConfigurationError

FOLDER: Final = CHECKOUT / ".paddlewheel" / "photographs"

_PACKAGE: Final = {
    "name": "face_recognition",
    "version": "1.3.0",
    "archive_sha256": "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec",
}
_MEMBERS: Final = "face_recognition-1.3.0/tests/test_images"


@dataclass(frozen=True, kw_only=True)
class Photograph:
    """A picture of one person; `whole` says whether it shows the whole face."""

    path: Path
    person: str
    sha256: str
    whole: bool = True


def _extracted(name: str, person: str, digest: str, *, whole: bool = True) -> Photograph:
    return Photograph(path=FOLDER / name, person=person, sha256=digest, whole=whole)


_OBAMA, _BIDEN = "Barack Obama", "Joe Biden"
_EXTRACTED: Final = (
    _extracted("obama.jpg", _OBAMA, "0930e3aa8cae5920329c0c8cbc6a2ab70f47b0e67b432875beaa95cbf7e741f6"),
    _extracted("obama2.jpg", _OBAMA, "a7efcc907375274796f39646510704aa86672d59f6d5469d69af3c85590976a6"),
    _extracted("obama3.jpg", _OBAMA, "76ac6bf97c36dc2da0ad16a537d6a5ac1b10f48d49aac29a0cca9a17cdbc3ca3"),
    _extracted(
        "obama_partial_face2.jpg",
        _OBAMA,
        "9a812347f97633542b8cd9992de22def11b74f79d82056bc3ee830f13878e028",
        whole=False,
    ),
    _extracted("biden.jpg", _BIDEN, "3c17508bb91554c637a2eabddfae790e5bb1caba93130814fc2ac50be9760c4c"),
)


def photographs() -> tuple[Photograph, ...]:
    """All photographs. Raises ConfigurationError if one is missing or altered."""
    astronaut = Photograph(
        path=Path(str(files("skimage") / "data" / "astronaut.png")),
        person="Eileen Collins",
        sha256="88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    )
    found = (*_EXTRACTED, astronaut)
    for photograph in found:
        if not _is_there(photograph):
            raise ConfigurationError(f"{photograph.path} is missing or was altered: run 'make setup'.")
    return found


def extract() -> None:
    """Extract missing photographs from their package. Raises ConfigurationError."""
    if all(map(_is_there, _EXTRACTED)):
        return
    wanted = {
        **_PACKAGE,
        "files": {
            each.path.name: {"member": f"{_MEMBERS}/{each.path.name}", "sha256": each.sha256}
            for each in _EXTRACTED
        },
    }
    command = [sys.executable, "-m", "workers.models.home.package_files", "--into", str(FOLDER)]
    done = subprocess.run(
        command, input=json.dumps(wanted), capture_output=True, text=True, check=False, cwd=CHECKOUT
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ConfigurationError(f"The photographs of {_PACKAGE['name']} could not be extracted. {reason}")


def _is_there(photograph: Photograph) -> bool:
    path = photograph.path
    return path.is_file() and sha256(path.read_bytes()).hexdigest() == photograph.sha256


if __name__ == "__main__":
    try:
        extract()
    except ConfigurationError as err:
        sys.exit(err.message)
