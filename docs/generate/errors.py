"""The page of errors, from the tree."""

from collections import defaultdict
from collections.abc import Iterator

from docs.generate.markdown import code, first_sentence, wrap, write_page, write_table
from gateway.problems import status_of
from paddlewheel.errors import CallerError, OperatorError, PaddlewheelError

_HEADER = ("code", "class", "it means")


def write_errors() -> str:
    """Both halves of the tree, and the HTTP status of each."""
    return write_page(
        "Errors",
        wrap(
            "Every error is a `PaddlewheelError` with a stable `code` for programs and a `message`"
            " for people that says what to do. The classes are in `paddlewheel.errors`. Over bare"
            " Celery the same error arrives as `exc_type` (the class's name), `exc_module`"
            " (`paddlewheel.errors`) and `exc_message` (a list with the message); over HTTP as a"
            " problem document with the code."
        ),
        "## CallerError",
        wrap("The request or its input has to change before it can work. Sending it again fails again."),
        write_table(_HEADER, map(_row, _classes(CallerError))),
        "## OperatorError",
        wrap("The service needs attention. The same request may work later."),
        write_table(_HEADER, map(_row, _classes(OperatorError))),
        "## HTTP statuses",
        wrap(
            "Beside these the gateway answers 401 without a valid key, 403 when the key's scopes do"
            " not cover the request, and 429 with `Retry-After` when a key sends too fast or the"
            " queue is too long."
        ),
        write_table(("status", "codes"), _rows_by_status()),
    )


def _classes(root: type[PaddlewheelError]) -> Iterator[type[PaddlewheelError]]:
    yield root
    for child in root.__subclasses__():
        yield from _classes(child)


def _row(error: type[PaddlewheelError]) -> tuple[str, ...]:
    return code(error.code), code(error.__name__), first_sentence(error.__doc__)


def _rows_by_status() -> list[tuple[str, str]]:
    codes: dict[int, list[str]] = defaultdict(list)
    for root in (CallerError, OperatorError):
        for error in _classes(root):
            codes[status_of(error())].append(code(error.code))
    return [(str(status), ", ".join(named)) for status, named in sorted(codes.items())]
