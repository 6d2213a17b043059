"""What an operator does with dead letters: look at them, replay or discard them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import click
from redis import Redis

from api_client.addresses import Addresses, local_connection
from api_client.async_client import DEFAULT_BLOB_TTL, DEFAULT_MAX_BLOB_BYTES
from api_client.blobs import open_blob_store
from api_client.cli.connection import connection_options, show_error
from api_client.client import Client
from api_client.errors import BrokerUnavailable, CallerError, ConfigurationError, PaddlewheelError
from job_store.database import Database
from job_store.dead_letter import FiledLetter
from job_store.dead_letters import DeadLetters
from job_store.letter_box import LetterBox
from job_store.letter_text import described, print_table
from job_store.replay import Replayer

_STATES: Final = ("dead", "replayed", "discarded", "all")


class Desk:
    """What a command works with: the box in the result store, and the letters in Postgres, where it is."""

    def __init__(self, database_url: str | None, addresses: Addresses, stack: ExitStack) -> None:
        self.addresses = addresses
        redis = Redis.from_url(addresses.results, socket_connect_timeout=5)
        stack.callback(redis.close)
        self.box = LetterBox(redis)
        self._filed: DeadLetters | None = None
        if database_url:
            database = Database(database_url)
            stack.callback(database.close)
            self._filed = DeadLetters(database)
            # What a worker could not file yet belongs to what the operator sees.
            try:
                self.box.file_in(self._filed)
            except BrokerUnavailable as err:
                click.echo(f"The newest letters may be missing. {err.message}", err=True)

    @property
    def has_database(self) -> bool:
        """Whether letters are filed, or only wait."""
        return self._filed is not None

    @property
    def letters(self) -> DeadLetters:
        """The table. Raises ConfigurationError where no database is known."""
        if self._filed is None:
            raise ConfigurationError(
                "Letters are replayed and discarded in the database: give --database-url, or set "
                "PADDLEWHEEL_DATABASE_URL. Until then they wait in the result store."
            )
        return self._filed

    @contextmanager
    def replayer(self) -> Iterator[Replayer]:
        """What enqueues letters again."""
        found = self.addresses
        blobs = open_blob_store(found.blobs, ttl=DEFAULT_BLOB_TTL, max_bytes=DEFAULT_MAX_BLOB_BYTES)
        client = Client(found.broker, result_url=found.results, blob_url=found.blobs)
        try:
            with client:
                yield Replayer(self.letters, client, blobs)
        finally:
            blobs.close()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--database-url",
    envvar="PADDLEWHEEL_DATABASE_URL",
    help="Postgres; in a checkout the one that 'make up' started.",
)
@connection_options
@click.pass_context
def dead(
    context: click.Context,
    database_url: str | None,
    broker_url: str | None,
    result_url: str | None,
    blob_url: str | None,
) -> None:
    """Dead letters: requests that cost one worker or model process after the other.

    \b
    Examples:
      paddlewheel dead list                       what is open, the newest first
      paddlewheel dead show 12                    by its number, or by the id of any of its tasks
      paddlewheel dead replay 12 13               enqueue them again, as new tasks
      paddlewheel dead discard 14                 nobody wants it answered; the record stays
    """

    def opened() -> Desk:
        addresses = Addresses.find(broker_url, result_url, blob_url)
        url = database_url or local_connection(Path.cwd()).get("database_url")
        return Desk(url, addresses, context.with_resource(ExitStack()))

    context.obj = opened


@dead.command("list")
@click.option("--state", type=click.Choice(_STATES), default="dead", show_default=True)
@click.option("--task", "name", metavar="NAME", help="Only this task's, such as ocr.recognize.")
@click.option("--error", "error_code", metavar="CODE", help="Only this error's, such as worker_lost.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--before", type=click.IntRange(1), metavar="NUMBER", help="Go on below this letter.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def list_command(opened: Callable[[], Desk], /, state: Any, as_json: bool, **wanted: Any) -> None:
    """List letters, the newest first."""
    with _told():
        desk = opened()
        if not desk.has_database:
            _show_waiting(desk, as_json)
            return
        found = desk.letters.page(state=None if state == "all" else state, **wanted)
        if as_json:
            for letter in found:
                click.echo(letter.model_dump_json())
        else:
            print_table(found)
        if len(found) == wanted["limit"]:
            click.echo(f"There may be more: --before {found[-1].number}", err=True)


@dead.command()
@click.argument("key", metavar="NUMBER|TASK_ID")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@click.pass_obj
def show(opened: Callable[[], Desk], key: str, as_json: bool) -> None:
    """Show one letter: what was asked, what it came to, and what became of it."""
    with _told():
        desk = opened()
        if not desk.has_database:
            waiting = [each for each in desk.box.waiting() if each.task_id == key]
            if waiting:
                click.echo(waiting[0].model_dump_json(indent=None if as_json else 2))
                return
        letter = desk.letters.find(key)
        click.echo(letter.model_dump_json() if as_json else described(letter))


@dead.command()
@click.argument("keys", metavar="NUMBER|TASK_ID...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print each letter as a JSON object.")
@click.pass_obj
def replay(opened: Callable[[], Desk], keys: tuple[str, ...], as_json: bool) -> None:
    """Enqueue letters again, each as a new task that its letter names.

    Mend what killed the workers first: a letter that kills them again does so as often as the first time.
    """
    with _told():
        desk = opened()
        with desk.replayer() as replayer:
            _each(keys, replayer.replay, "replayed as task {0.replay_task_id}", as_json)


@dead.command()
@click.argument("keys", metavar="NUMBER|TASK_ID...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print each letter as a JSON object.")
@click.pass_obj
def discard(opened: Callable[[], Desk], keys: tuple[str, ...], as_json: bool) -> None:
    """Close letters without an answer; their records stay."""
    with _told():
        letters = opened().letters
        _each(keys, lambda key: letters.discard(letters.find(key).number), "discarded", as_json)


def _each(keys: Sequence[str], work: Callable[[str], FiledLetter], done: str, as_json: bool) -> None:
    """One that cannot be closed does not stop the others; the exit status is 1 then."""
    failed = False
    for key in dict.fromkeys(keys):
        try:
            letter = work(key)
        except CallerError as err:
            show_error(err.code, err.message)
            failed = True
        else:
            line = f"Dead letter {letter.number}: {done.format(letter)}."
            click.echo(letter.model_dump_json() if as_json else line)
    if failed:
        click.get_current_context().exit(1)


@contextmanager
def _told() -> Iterator[None]:
    """A typed error as one line: exit status 1 where the caller can act, 2 where the operator can."""
    try:
        yield
    except PaddlewheelError as err:
        show_error(err.code, err.message)
        click.get_current_context().exit(1 if isinstance(err, CallerError) else 2)


def _show_waiting(desk: Desk, as_json: bool) -> None:
    waiting = desk.box.waiting()
    if as_json:
        for letter in waiting:
            click.echo(letter.model_dump_json())
    else:
        print_table(waiting)
    click.echo("No database is configured: these letters wait in the result store.", err=True)
