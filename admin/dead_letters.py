"""What an operator does with dead letters: look at them, replay, discard or delete them."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import click
from redis import Redis

from admin.dead_letter_printing import described, print_table
from admin.job_console import database_option, find_database, told
from database.pool import Database
from job_store.batch_shards import BatchShards
from job_store.dead_letter import DeadLetterRecord
from job_store.dead_letter_outbox import DeadLetterOutbox
from job_store.dead_letter_store import DeadLetterStore
from job_store.replay import Replayer
from paddlewheel.async_client import DEFAULT_BLOB_TTL, DEFAULT_MAX_BLOB_BYTES
from paddlewheel.blobs.opening import open_blob_store
from paddlewheel.cli.connection import connection_options, show_error
from paddlewheel.client import Client
from paddlewheel.errors import BrokerUnavailable, CallerError, ConfigurationError
from paddlewheel.wire.addresses import Addresses

_AGE: Final = re.compile(r"([1-9][0-9]{0,4})([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_STATES: Final = ("dead", "replayed", "discarded", "all")


class DeadLetterService:
    """What a command works with: the box in the result store, and the letters in Postgres, where it is."""

    def __init__(self, database_url: str | None, addresses: Addresses, stack: ExitStack) -> None:
        self.addresses = addresses
        redis = Redis.from_url(addresses.results, socket_connect_timeout=5)
        stack.callback(redis.close)
        self.box = DeadLetterOutbox(redis)
        self._database: Database | None = None
        if database_url:
            self._database = Database(database_url)
            stack.callback(self._database.close)
            # What a worker could not file yet belongs to what the operator sees.
            try:
                self.box.file_in(self.letters)
            except BrokerUnavailable as err:
                click.echo(f"The newest letters may be missing. {err.message}", err=True)

    @property
    def has_database(self) -> bool:
        """Whether letters are filed, or only wait."""
        return self._database is not None

    @property
    def database(self) -> Database:
        """Raises ConfigurationError where none is known."""
        if self._database is None:
            raise ConfigurationError(
                "Letters are replayed and discarded in the database: give --database-url, or set "
                "PADDLEWHEEL_DATABASE_URL. Until then they wait in the result store."
            )
        return self._database

    @property
    def letters(self) -> DeadLetterStore:
        """The table. Raises ConfigurationError where no database is known."""
        return DeadLetterStore(self.database)

    @contextmanager
    def replayer(self) -> Iterator[Replayer]:
        """What enqueues letters again."""
        found = self.addresses
        blobs = open_blob_store(found.blobs, ttl=DEFAULT_BLOB_TTL, max_bytes=DEFAULT_MAX_BLOB_BYTES)
        client = Client(found.broker, result_url=found.results, blob_url=found.blobs)
        try:
            with client:
                yield Replayer(self.letters, BatchShards(self.database), client, blobs)
        finally:
            blobs.close()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@database_option
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
      paddlewheel dead purge --older-than 30d     delete the records of those that were closed
    """

    def opened() -> DeadLetterService:
        addresses = Addresses.find(broker_url, result_url, blob_url)
        return DeadLetterService(find_database(database_url), addresses, context.with_resource(ExitStack()))

    context.obj = opened


@dead.command("list")
@click.option("--state", type=click.Choice(_STATES), default="dead", show_default=True)
@click.option("--task", "name", metavar="NAME", help="Only this task's, such as ocr.recognize.")
@click.option("--error", "error_code", metavar="CODE", help="Only this error's, such as worker_lost.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--before", type=click.IntRange(1), metavar="NUMBER", help="Go on below this letter.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def list_command(
    opened: Callable[[], DeadLetterService], /, state: Any, as_json: bool, **wanted: Any
) -> None:
    """List letters, the newest first."""
    with told():
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
def show(opened: Callable[[], DeadLetterService], key: str, as_json: bool) -> None:
    """Show one letter: what was asked, what it came to, and what became of it."""
    with told():
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
def replay(opened: Callable[[], DeadLetterService], keys: tuple[str, ...], as_json: bool) -> None:
    """Enqueue letters again, each as a new task that its letter names.

    Mend what killed the workers first: a letter that kills them again does so as often as the first time.
    """
    with told():
        desk = opened()
        with desk.replayer() as replayer:
            _each(keys, replayer.replay, "replayed as task {0.replay_task_id}", as_json)


@dead.command()
@click.argument("keys", metavar="NUMBER|TASK_ID...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print each letter as a JSON object.")
@click.pass_obj
def discard(opened: Callable[[], DeadLetterService], keys: tuple[str, ...], as_json: bool) -> None:
    """Close letters without an answer; their records stay."""
    with told():
        letters = opened().letters
        _each(keys, lambda key: letters.discard(letters.find(key).number), "discarded", as_json)


@dead.command()
@click.option(
    "--older-than",
    "age",
    metavar="AGE",
    required=True,
    callback=lambda _context, _option, text: seconds_of(text),
    help="How long ago they were closed, such as 30d, 12h or 90m.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def purge(opened: Callable[[], DeadLetterService], age: float, yes: bool) -> None:
    """Delete letters that were replayed or discarded a while ago; open ones are kept whatever their age."""
    with told():
        letters = opened().letters
        count = letters.count_closed(age)
        if count and not yes:
            click.confirm(f"Delete {count} closed dead letters for good?", abort=True, err=True)
        click.echo(f"{letters.purge(age) if count else 0} dead letters were deleted.")


def seconds_of(age: str) -> float:
    """Seconds of an age such as 30d. Raises click.BadParameter."""
    found = _AGE.fullmatch(age)
    if found is None:
        raise click.BadParameter(f"{age!r} is no age such as 30d, 12h or 90m.")
    return int(found[1]) * _SECONDS[found[2]]


def _each(keys: Sequence[str], work: Callable[[str], DeadLetterRecord], done: str, as_json: bool) -> None:
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


def _show_waiting(desk: DeadLetterService, as_json: bool) -> None:
    waiting = desk.box.waiting()
    if as_json:
        for letter in waiting:
            click.echo(letter.model_dump_json())
    else:
        print_table(waiting)
    click.echo("No database is configured: these letters wait in the result store.", err=True)
