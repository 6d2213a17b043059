"""`paddlewheel dead`: show dead letters, replay, discard or delete them."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final, TypeAlias

import click
from redis import Redis

from admin.console import database_option, find_database
from admin.dead_letter_printing import print_table, to_text
from database.pool import Database
from job_store.batch_shards import BatchShards
from job_store.dead_letter import DeadLetterRecord
from job_store.dead_letter_outbox import DeadLetterOutbox
from job_store.dead_letter_store import DeadLetterStore
from job_store.replay import Replayer
from paddlewheel.async_client import DEFAULT_BLOB_TTL, DEFAULT_MAX_BLOB_BYTES
from paddlewheel.blobs.opening import open_blob_store
from paddlewheel.cli.connection import connection_options
from paddlewheel.cli.console import (
    CONTEXT_SETTINGS,
    end,
    json_lines_option,
    json_option,
    print_json,
    report_errors,
    show_error,
)
from paddlewheel.cli.exit_codes import ExitCode, exit_code, exit_code_help
from paddlewheel.client import Client
from paddlewheel.errors import BrokerUnavailable, CallerError, ConfigurationError
from paddlewheel.wire.addresses import Addresses

_AGE: Final = re.compile(r"([1-9][0-9]{0,4})([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_STATES: Final = ("dead", "replayed", "discarded", "all")


class DeadLetterService:
    """Dead letters: the outbox in the result store, and the table in Postgres where there is one."""

    def __init__(self, database_url: str | None, addresses: Addresses, stack: ExitStack) -> None:
        self.addresses = addresses
        redis = Redis.from_url(addresses.results, socket_connect_timeout=5)
        stack.callback(redis.close)
        self.box = DeadLetterOutbox(redis)
        self._database: Database | None = None
        if database_url:
            self._database = Database(database_url)
            stack.callback(self._database.close)
            # Letters that a worker could not file yet belong to what the operator sees.
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
        """A replayer, which enqueues letters again."""
        found = self.addresses
        blobs = open_blob_store(found.blobs, ttl=DEFAULT_BLOB_TTL, max_bytes=DEFAULT_MAX_BLOB_BYTES)
        client = Client(found.broker, result_url=found.results, blob_url=found.blobs)
        try:
            with client:
                yield Replayer(self.letters, BatchShards(self.database), client, blobs)
        finally:
            blobs.close()


OpenService: TypeAlias = Callable[[], DeadLetterService]


@click.group(context_settings=CONTEXT_SETTINGS, epilog=exit_code_help())
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
    """Dead letters: requests that killed one worker or model process after the other.

    \b
    Examples:
      paddlewheel dead list                       open letters, the newest first
      paddlewheel dead show 12                    by its number, or by the id of any of its tasks
      paddlewheel dead replay 12 13               enqueue them again, as new tasks
      paddlewheel dead discard 14                 close it without an answer; the record stays
      paddlewheel dead purge --older-than 30d     delete records of closed letters
    """

    def open_service() -> DeadLetterService:
        addresses = Addresses.find(broker_url, result_url, blob_url)
        return DeadLetterService(find_database(database_url), addresses, context.with_resource(ExitStack()))

    context.obj = open_service


@dead.command("list")
@click.option(
    "--state",
    type=click.Choice(_STATES),
    default="dead",
    show_default=True,
    help="Only letters in this state.",
)
@click.option("--task", "name", metavar="NAME", help="Only this task's letters, such as ocr.recognize.")
@click.option("--error", "error_code", metavar="CODE", help="Only this error's, such as worker_lost.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="List so many at most."
)
@click.option("--before", type=click.IntRange(1), metavar="NUMBER", help="Only letters below this number.")
@json_lines_option
@click.pass_obj
@report_errors()
def list_command(open_service: OpenService, /, state: Any, as_json: bool, **wanted: Any) -> None:
    """List letters, the newest first."""
    service = open_service()
    if not service.has_database:
        _show_waiting(service, as_json)
        return
    found = service.letters.page(state=None if state == "all" else state, **wanted)
    if as_json:
        for letter in found:
            click.echo(letter.model_dump_json())
    else:
        print_table(found)
    if len(found) == wanted["limit"]:
        click.echo(f"There may be more: --before {found[-1].number}", err=True)


@dead.command()
@click.argument("key", metavar="NUMBER|TASK_ID")
@json_option
@click.pass_obj
@report_errors()
def show(open_service: OpenService, key: str, as_json: bool) -> None:
    """Show one letter: the request, its error, and what was done with it since."""
    service = open_service()
    if not service.has_database:
        waiting = [each for each in service.box.waiting() if each.task_id == key]
        if waiting:
            click.echo(waiting[0].model_dump_json(indent=None if as_json else 2))
            return
    letter = service.letters.find(key)
    click.echo(letter.model_dump_json() if as_json else to_text(letter))


@dead.command()
@click.argument("keys", metavar="NUMBER|TASK_ID...", nargs=-1, required=True)
@json_lines_option
@click.pass_obj
@report_errors()
def replay(open_service: OpenService, keys: tuple[str, ...], as_json: bool) -> None:
    """Enqueue letters again, each as a new task whose id is kept in the letter.

    Fix what killed the workers first: a letter may kill as many of them as it did the first time.
    """
    with open_service().replayer() as replayer:
        _close_each(keys, replayer.replay, "replayed as task {0.replay_task_id}", as_json)


@dead.command()
@click.argument("keys", metavar="NUMBER|TASK_ID...", nargs=-1, required=True)
@json_lines_option
@click.pass_obj
@report_errors()
def discard(open_service: OpenService, keys: tuple[str, ...], as_json: bool) -> None:
    """Close letters without an answer; their records stay."""
    letters = open_service().letters
    _close_each(keys, lambda key: letters.discard(letters.find(key).number), "discarded", as_json)


@dead.command()
@click.option(
    "--older-than",
    "age",
    metavar="AGE",
    required=True,
    callback=lambda _context, _option, text: to_seconds(text),
    help="How long ago they were closed, such as 30d, 12h or 90m.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
@report_errors()
def purge(open_service: OpenService, age: float, yes: bool, as_json: bool) -> None:
    """Delete old letters that were replayed or discarded. Open letters are kept, whatever their age."""
    letters = open_service().letters
    count = letters.count_closed(age)
    if count and not yes:
        click.confirm(f"Delete {count} closed dead letters for good?", abort=True, err=True)
    deleted = letters.purge(age) if count else 0
    if as_json:
        print_json({"deleted": deleted})
    else:
        click.echo(f"{deleted} dead letters were deleted.")


def to_seconds(age: str) -> float:
    """Seconds of an age such as 30d. Raises click.BadParameter."""
    found = _AGE.fullmatch(age)
    if found is None:
        raise click.BadParameter(f"{age!r} is no age such as 30d, 12h or 90m.")
    return int(found[1]) * _SECONDS[found[2]]


def _close_each(
    keys: Sequence[str], close: Callable[[str], DeadLetterRecord], done: str, as_json: bool
) -> None:
    """Close every letter that can be closed, and report the others."""
    worst = ExitCode.DONE
    for key in dict.fromkeys(keys):
        try:
            letter = close(key)
        except CallerError as err:
            show_error(err.code, err.message)
            worst = max(worst, exit_code(err))
        else:
            line = f"Dead letter {letter.number}: {done.format(letter)}."
            click.echo(letter.model_dump_json() if as_json else line)
    end(worst)


def _show_waiting(service: DeadLetterService, as_json: bool) -> None:
    waiting = service.box.waiting()
    if as_json:
        for letter in waiting:
            click.echo(letter.model_dump_json())
    else:
        print_table(waiting)
    click.echo("No database is configured: these letters wait in the result store.", err=True)
