"""A worker that loses its life as a test wants it to: `python -m tests.deadly_worker`.

In the folder DEADLY_FOLDER, the file `mended` keeps black lines from killing it, and the file `armed` kills
it once, at the moment when it holds a message that no other process knows of.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from workers.__main__ import main
from workers.consumer import transport as redis_transport
from workers.models.families.text_recognition import TextRecognition

FOLDER = Path(os.environ["DEADLY_FOLDER"])
_preprocess = TextRecognition.preprocess
_reply = redis_transport.Channel._reply


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def preprocess(self: TextRecognition, image: Any) -> Any:
    """As a decoder with a memory fault would."""
    if image.max() == 0 and not (FOLDER / "mended").exists():
        die()
    return _preprocess(self, image)


def reply(self: Any, options: dict[str, Any]) -> Any:
    """As somebody who trips over the cable at the wrong moment."""
    found = _reply(self, options)
    if found and not self._waiting and (FOLDER / "armed").exists():
        (FOLDER / "armed").unlink()
        die()
    return found


if __name__ == "__main__":
    TextRecognition.preprocess = preprocess  # type: ignore[method-assign]
    redis_transport.Channel._reply = reply  # type: ignore[method-assign]
    sys.exit(main())
