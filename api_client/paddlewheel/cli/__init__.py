"""The `paddlewheel` command line: read, recognize, look at pictures, keep galleries, look after tasks."""

from paddlewheel.cli import galleries, pictures  # noqa: F401  they add their commands
from paddlewheel.cli.commands import main

__all__ = ["main"]
