"""Finds server programs in installed packages without running the packages' code."""

import importlib.util
from pathlib import Path

from paddlewheel.errors import ConfigurationError


def program(package: str, pattern: str) -> Path:
    """The program of a package that matches the pattern. Raises ConfigurationError if there is none."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ConfigurationError(f"{package} is not installed: run 'make setup'.")
    found = sorted(Path(spec.origin).parent.glob(pattern))
    if not found:
        raise ConfigurationError(
            f"{package} has no server for this platform: run your own, and set "
            "PADDLEWHEEL_BROKER_URL and PADDLEWHEEL_DATABASE_URL."
        )
    return found[0]
