"""The `paddlewheel` command line: put images, read pages, recognize lines, look after tasks."""

from api_client.cli.commands import main

__all__ = ["main"]
