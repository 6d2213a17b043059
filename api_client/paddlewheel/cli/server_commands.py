"""Commands of the server: each is there where its module is, in the checkout and the image."""

import importlib

import click


def server_command(name: str, module: str, subject: str, text: str) -> click.Command:
    """The command `name` of a server's module, which is imported when it is called.

    `subject` begins the sentence for whoever has only the client; `text` is the command's help.
    """

    @click.command(name, help=text, context_settings={"ignore_unknown_options": True}, add_help_option=False)
    @click.argument("arguments", metavar="COMMAND...", nargs=-1, type=click.UNPROCESSED)
    def run(arguments: tuple[str, ...]) -> None:
        try:
            server = importlib.import_module(module)
        except ModuleNotFoundError as err:
            raise click.UsageError(
                f"{subject} where the server is: in its checkout or its image ({err})."
            ) from err
        getattr(server, name).main(arguments, prog_name=f"paddlewheel {name}")

    return run


MODELS = server_command(
    "models",
    "admin.models",
    "Models are managed",
    """List the models, show what is known of one, pull more, where the server is.

    \b
    Examples:
      paddlewheel models list
      paddlewheel models pull PP-OCRv5_server_rec
    """,
)

DEAD = server_command(
    "dead",
    "admin.dead_letters",
    "Dead letters are looked after",
    """Look after tasks that cost workers their lives, where the server is.

    \b
    Examples:
      paddlewheel dead list
      paddlewheel dead replay 12
    """,
)

KEYS = server_command(
    "keys",
    "admin.keys",
    "API keys are made",
    """Make, list and revoke API keys of the HTTP gateway, where the server is.

    \b
    Examples:
      paddlewheel keys create shop --scope tasks --scope galleries:read
      paddlewheel keys revoke 3f2a9c81d0e4
    """,
)

BATCH = server_command(
    "batch",
    "admin.batch_jobs",
    "Batch jobs are submitted",
    """Run a task over a list of images and write the answers to a file, where the server is.

    \b
    Examples:
      paddlewheel batch submit /data/filelist.txt /data/result.txt --watch
      paddlewheel batch status 3f2a9c81d0e4b75a
    """,
)
