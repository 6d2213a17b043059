"""The exit codes of `paddlewheel`: one table for every command, of the client and of the server."""

from enum import IntEnum
from typing import Final

from paddlewheel.errors import CallerError, ConfigurationError, PaddlewheelError


class ExitCode(IntEnum):
    """What a command ends with; of several errors the highest code counts."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNAVAILABLE = 3
    INTERRUPTED = 130


EXIT_CODES: Final[dict[ExitCode, str]] = {
    ExitCode.DONE: "done",
    ExitCode.FAILED: "the request or one of its inputs must change, or a check found problems",
    ExitCode.USAGE: "the command line or a setting is wrong",
    ExitCode.UNAVAILABLE: "the service cannot do it now or another process holds the gallery: retry later",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C",
}
"""The meaning of each exit code, for the help and for the reference."""


def exit_code(error: PaddlewheelError) -> ExitCode:
    """The code of a typed error, which says who can act on it."""
    if isinstance(error, CallerError):
        return ExitCode.FAILED
    return ExitCode.USAGE if isinstance(error, ConfigurationError) else ExitCode.UNAVAILABLE


def exit_code_help() -> str:
    """The table as the last paragraph of a command's help."""
    return "\n".join(["\b", "Exit codes:", *(f"  {code:<4} {text}" for code, text in EXIT_CODES.items())])
