"""Dead letters in Postgres: filed once, listed, replayed or discarded, and deleted later."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, delete, func, insert, or_, select, update

from database.clock import ago
from database.locks import LockName, lock_transaction
from database.pool import Database
from job_store.dead_letter import DeadLetter, DeadLetterRecord, LetterState
from job_store.schema import DEAD_LETTERS
from paddlewheel.errors import DeadLetterClosed, DeadLetterNotFound

KEPT_DELIVERIES: Final = 50
"""The latest deliveries of a letter; a request that fails all day must not grow its row indefinitely."""

_T: Final = DEAD_LETTERS.c


class DeadLetterStore:
    """The table. Every method is one transaction; they raise DatabaseUnavailable and SchemaOutdated."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def file(self, letters: Sequence[DeadLetter]) -> None:
        """Keep letters, each once however often it is filed; an open letter that is alike absorbs it."""
        with self._database.begin() as connection:
            lock_transaction(connection, LockName.DEAD_LETTER_FILING)
            for letter in letters:
                if not connection.execute(_holding(letter=letter.id)).first():
                    _file(connection, letter)

    def page(
        self,
        *,
        state: LetterState | None = "dead",
        name: str | None = None,
        error_code: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[DeadLetterRecord]:
        """Letters from the newest on; `before` is the number that the last page ended with."""
        query = select(DEAD_LETTERS).order_by(_T.number.desc()).limit(limit)
        wanted = ((_T.state, state), (_T.name, name), (_T.error_code, error_code))
        for column, value in wanted:
            if value is not None:
                query = query.where(column == value)
        if before is not None:
            query = query.where(_T.number < before)
        with self._database.begin() as connection:
            return [_to_record(row) for row in connection.execute(query)]

    def find(self, key: str) -> DeadLetterRecord:
        """By its number or by any of its tasks, the newest first. Raises DeadLetterNotFound."""
        tasks = or_(_T.task_id == key, _T.replay_task_id == key, _T.history.contains([{"task_id": key}]))
        number = int(key) if key.isascii() and key.isdigit() and len(key) < 19 else None
        query = select(DEAD_LETTERS).where(_T.number == number if number is not None else tasks)
        with self._database.begin() as connection:
            row = connection.execute(query.order_by(_T.number.desc()).limit(1)).first()
        if row is None:
            raise DeadLetterNotFound(f"There is no dead letter {key}: 'paddlewheel dead list' shows them.")
        return _to_record(row)

    def mark_replayed(self, number: int, task_id: str) -> DeadLetterRecord:
        """Note that its request was enqueued again. Raises DeadLetterClosed."""
        return self._close(number, "replayed", replayed_at=func.now(), replay_task_id=task_id)

    def discard(self, number: int) -> DeadLetterRecord:
        """Close it unanswered; the row stays. Raises DeadLetterClosed."""
        return self._close(number, "discarded", discarded_at=func.now())

    def count_closed(self, seconds: float) -> int:
        """How many were replayed or discarded longer ago than this."""
        with self._database.begin() as connection:
            return connection.execute(select(func.count()).where(_closed_before(seconds))).scalar_one()

    def purge(self, seconds: float) -> int:
        """Delete these; how many. Open letters stay."""
        with self._database.begin() as connection:
            return connection.execute(delete(DEAD_LETTERS).where(_closed_before(seconds))).rowcount

    def _close(self, number: int, state: LetterState, **values: Any) -> DeadLetterRecord:
        change = update(DEAD_LETTERS).where(_T.number == number, _T.state == "dead")
        with self._database.begin() as connection:
            row = connection.execute(change.values(state=state, **values).returning(DEAD_LETTERS)).first()
        if row is None:
            require_open(self.find(str(number)))
            raise DeadLetterNotFound(f"There is no dead letter {number}.")
        return _to_record(row)


def require_open(letter: DeadLetterRecord) -> None:
    """Raise DeadLetterClosed for one that has been replayed or discarded."""
    if letter.state == "replayed":
        raise DeadLetterClosed(
            f"Dead letter {letter.number} was replayed as task {letter.replay_task_id} already; a task "
            "that fails again leaves a new letter."
        )
    if letter.state == "discarded":
        raise DeadLetterClosed(f"Dead letter {letter.number} was discarded.")


def _closed_before(seconds: float) -> ColumnElement[bool]:
    closed_at = func.coalesce(_T.replayed_at, _T.discarded_at)
    return (_T.state != "dead") & (closed_at < ago(seconds))


def _holding(**delivery: str) -> Select[Any]:
    return select(_T.number).where(_T.history.contains([delivery])).limit(1)


def _file(connection: Connection, letter: DeadLetter) -> None:
    history = [each.model_dump(mode="json") for each in letter.history]
    alike = select(_T.number, _T.history).where(_T.fingerprint == letter.fingerprint, _T.state == "dead")
    found = connection.execute(alike.with_for_update()).first()
    if found is None:
        fields = letter.model_dump(exclude={"id", "history"})
        connection.execute(
            insert(DEAD_LETTERS).values(
                **fields,
                history=history[-KEPT_DELIVERIES:],
                fingerprint=letter.fingerprint,
                last_at=letter.created_at,
            )
        )
        return
    connection.execute(
        update(DEAD_LETTERS)
        .where(_T.number == found.number)
        .values(
            task_id=letter.task_id,
            history=[*found.history, *history][-KEPT_DELIVERIES:],
            occurrences=_T.occurrences + 1,
            headers=letter.headers,
            # The latest reference: its blob lives longest.
            request=letter.request,
            error_message=letter.error_message,
            last_at=letter.created_at,
        )
    )


def _to_record(row: Row[Any]) -> DeadLetterRecord:
    return DeadLetterRecord.model_validate(dict(row._mapping))
