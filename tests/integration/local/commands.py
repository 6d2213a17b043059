"""`python -m local` as a process of its own, as an operator calls it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from local.checkout import CHECKOUT
from local.state import StateFolder


def local(
    root: Path, *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command, *rest = arguments
    return subprocess.run(
        [sys.executable, "-m", "local", command, "--root", str(root), *rest],
        capture_output=True,
        text=True,
        check=False,
        cwd=CHECKOUT,
        env={**os.environ, **(environment or {})},
        timeout=120,
    )


def up(root: Path, *arguments: str, environment: dict[str, str] | None = None) -> str:
    done = local(root, "up", *arguments, environment=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def connection(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(StateFolder(root).connection_file.read_text())
    return found
