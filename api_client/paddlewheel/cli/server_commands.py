"""The operators' commands. They live in `admin`, which the client imports only when one of them is called."""

import importlib
from typing import Any, Final

import click

from paddlewheel.cli.console import CONTEXT_SETTINGS


class ServerCommand(click.Command):
    """A group of operators' commands, imported from the server's `module` when it is called.

    `path` is how it is typed after `paddlewheel`; its last word is the group's name in the module. `subject`
    begins the sentence that a client without the server prints.
    """

    def __init__(self, path: str, *, module: str, subject: str, text: str) -> None:
        self._path, self._module, self._subject = path, module, subject
        super().__init__(
            path.split()[-1],
            callback=self._run,
            params=[click.Argument(["arguments"], metavar="COMMAND...", nargs=-1, type=click.UNPROCESSED)],
            help=text,
            context_settings={**CONTEXT_SETTINGS, "ignore_unknown_options": True},
            add_help_option=False,
        )

    def load(self) -> click.Group:
        """The group itself. Raises click.UsageError where the server's packages are not installed."""
        try:
            module: Any = importlib.import_module(self._module)
        except ModuleNotFoundError as err:
            raise click.UsageError(
                f"{self._subject} where the server is: in its checkout or its image ({err})."
            ) from err
        group: click.Group = getattr(module, self._path.split()[-1])
        return group

    def _run(self, arguments: tuple[str, ...]) -> None:
        self.load().main(list(arguments), prog_name=f"paddlewheel {self._path}")


MAINTENANCE: Final = ServerCommand(
    "gallery maintenance",
    module="admin.galleries",
    subject="Galleries are maintained",
    text="""Work on the database and the files of galleries, where the server is.

    \b
    Examples:
      paddlewheel gallery maintenance migrate
      paddlewheel gallery maintenance list
      paddlewheel gallery maintenance append staff embeddings.npy labels.txt
      paddlewheel gallery maintenance verify staff
    """,
)

MODELS: Final = ServerCommand(
    "models",
    module="admin.models",
    subject="Models are managed",
    text="""List the models, show what is known of one, pull more, where the server is.

    \b
    Examples:
      paddlewheel models list
      paddlewheel models pull PP-OCRv5_server_rec
    """,
)

DEAD: Final = ServerCommand(
    "dead",
    module="admin.dead_letters",
    subject="Dead letters are managed",
    text="""Show, replay and discard tasks that killed their workers, where the server is.

    \b
    Examples:
      paddlewheel dead list
      paddlewheel dead replay 12
    """,
)

KEYS: Final = ServerCommand(
    "keys",
    module="admin.keys",
    subject="API keys are managed",
    text="""Make, list and revoke API keys of the HTTP gateway, where the server is.

    \b
    Examples:
      paddlewheel keys create shop --scope tasks --scope galleries:read
      paddlewheel keys revoke 3f2a9c81d0e4
    """,
)

BATCH: Final = ServerCommand(
    "batch",
    module="admin.batch_jobs",
    subject="Batch jobs are submitted",
    text="""Run a task over a list of images and write the answers to a file, where the server is.

    \b
    Examples:
      paddlewheel batch submit /data/filelist.txt /data/result.txt --watch
      paddlewheel batch status 3f2a9c81d0e4b75a
    """,
)

SERVER_COMMANDS: Final = (MAINTENANCE, MODELS, DEAD, KEYS, BATCH)
