"""Servers inside installed packages, found without running any code of the package."""

import importlib.util
from pathlib import Path

from paddlewheel.errors import ConfigurationError


def program(package: str, pattern: str) -> Path:
    """The one program of a package that fits the pattern."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ConfigurationError(f"{package} is not installed: run 'make setup'.")
    found = sorted(Path(spec.origin).parent.glob(pattern))
    if not found:
        raise ConfigurationError(
            f"{package} has no server for this kind of machine: run your own, and set "
            "PADDLEWHEEL_BROKER_URL and PADDLEWHEEL_DATABASE_URL."
        )
    return found[0]
