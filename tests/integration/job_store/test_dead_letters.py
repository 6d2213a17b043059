"""Dead letters in a real Postgres, and on their way there."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from redis import Redis

from database.migration import migrate
from database.pool import Database
from job_store import dead_letter_outbox
from job_store.dead_letter import DeadLetter
from job_store.dead_letter_outbox import DeadLetterOutbox
from job_store.dead_letter_store import KEPT_DELIVERIES, DeadLetterStore
from job_store.schema import METADATA
from paddlewheel.errors import (
    BrokerUnavailable,
    ConfigurationError,
    DatabaseUnavailable,
    DeadLetterClosed,
    DeadLetterNotFound,
    SchemaOutdated,
)
from tests.integration.job_store.conftest import MakeLetter


def test_the_migrations_make_what_the_schema_says_and_can_be_taken_back(empty_database: str) -> None:
    migrate(empty_database)
    ours = {"include_name": lambda name, kind, _: kind != "table" or name in METADATA.tables}
    database = Database(empty_database)
    with database.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts=ours), METADATA) == []
    database.close()
    migrate(empty_database, "base")
    migrate(empty_database)


def test_a_letter_comes_back_as_it_was_filed(letters: DeadLetterStore, letter: MakeLetter) -> None:
    written = letter("t-1")
    letters.file([written])
    (found,) = letters.page()
    same = DeadLetter.model_validate({**found.model_dump(), "id": written.id})
    assert same == written
    assert (found.state, found.occurrences, found.last_at) == ("dead", 1, written.created_at)
    assert letters.find(str(found.number)) == letters.find("t-1") == found


def test_a_letter_is_filed_once_however_often_it_is_handed_in(
    letters: DeadLetterStore, letter: MakeLetter
) -> None:
    written = [letter(f"t-{i}", blob=str(i % 2)) for i in range(6)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(letters.file, [written] * 4))
    assert [found.occurrences for found in letters.page()] == [3, 3]


def test_requests_that_are_alike_are_one_open_letter_found_by_each_of_its_tasks(
    letters: DeadLetterStore, letter: MakeLetter
) -> None:
    letters.file(
        [letter("t-1"), letter("t-2"), letter("t-3", error_code="model_timeout"), letter("t-4", blob="1")]
    )
    first = letters.find("t-1")
    assert first == letters.find("t-2")
    assert (first.task_id, first.occurrences, len(first.history)) == ("t-2", 2, 2)
    assert len(letters.page()) == 3
    letters.discard(first.number)
    letters.file([letter("t-5")])
    assert letters.find("t-5").number != first.number


def test_a_request_that_fails_all_day_does_not_grow_its_row(
    letters: DeadLetterStore, letter: MakeLetter
) -> None:
    letters.file([letter(f"t-{i}") for i in range(KEPT_DELIVERIES + 10)])
    (found,) = letters.page()
    assert found.occurrences == KEPT_DELIVERIES + 10
    assert len(found.history) == KEPT_DELIVERIES
    assert found.history[-1].task_id == found.task_id == f"t-{KEPT_DELIVERIES + 9}"


def test_letters_are_paged_from_the_newest_on_and_filtered(
    letters: DeadLetterStore, letter: MakeLetter
) -> None:
    letters.file([letter(f"t-{i}", blob=str(i)) for i in range(5)])
    letters.file([letter("t-5", name="ocr.read"), letter("t-6", error_code="worker_lost")])
    first = letters.page(limit=3)
    rest = letters.page(limit=10, before=first[-1].number)
    assert [found.task_id for found in first + rest] == ["t-6", "t-5", "t-4", "t-3", "t-2", "t-1", "t-0"]
    assert [found.task_id for found in letters.page(name="ocr.read")] == ["t-5"]
    assert [found.task_id for found in letters.page(error_code="worker_lost")] == ["t-6"]
    letters.discard(first[0].number)
    assert len(letters.page()) == 6
    assert [found.task_id for found in letters.page(state="discarded")] == ["t-6"]
    assert len(letters.page(state=None)) == 7


def test_a_letter_is_closed_once(letters: DeadLetterStore, letter: MakeLetter) -> None:
    letters.file([letter("t-1"), letter("t-2", blob="1")])
    one, two = letters.find("t-1").number, letters.find("t-2").number
    replayed = letters.mark_replayed(one, "again")
    assert (replayed.state, replayed.replay_task_id) == ("replayed", "again")
    assert replayed.replayed_at is not None
    assert letters.find("again").number == one
    assert letters.discard(two).discarded_at is not None
    with pytest.raises(DeadLetterClosed, match="as task again"):
        letters.discard(one)
    with pytest.raises(DeadLetterClosed, match="discarded"):
        letters.mark_replayed(two, "x")
    with pytest.raises(DeadLetterNotFound):
        letters.discard(10**6)
    with pytest.raises(DeadLetterNotFound):
        letters.find("9" * 40)


def test_what_waits_in_the_box_is_filed_the_oldest_first(
    letters: DeadLetterStore, box: DeadLetterOutbox, letter: MakeLetter
) -> None:
    written = [letter(f"t-{i}", blob=f"{i:x}"[-1], error_code=f"e{i}") for i in range(250)]
    for each in written:
        box.put(each)
    assert [each.task_id for each in box.waiting()][:2] == ["t-249", "t-248"]
    assert box.file_in(letters) == 250
    assert box.waiting() == []
    assert [found.task_id for found in letters.page(limit=250)] == [f"t-{i}" for i in range(249, -1, -1)]


def test_without_a_database_the_newest_letters_are_kept(
    box: DeadLetterOutbox, letter: MakeLetter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letter_outbox, "CAPACITY", 3)
    for i in range(5):
        box.put(letter(f"t-{i}"))
    assert [each.task_id for each in box.waiting()] == ["t-4", "t-3", "t-2"]


def test_what_cannot_be_filed_stays_in_the_box(
    box: DeadLetterOutbox, letter: MakeLetter, empty_database: str
) -> None:
    box.put(letter("t-1"))
    with pytest.raises(SchemaOutdated, match="paddlewheel gallery maintenance migrate"):
        box.file_in(DeadLetterStore(Database(empty_database)))
    with pytest.raises(DatabaseUnavailable, match="cannot be reached"):
        box.file_in(DeadLetterStore(Database("postgresql://nobody@127.0.0.1:1/none")))
    with pytest.raises(ConfigurationError, match="postgresql://"):
        Database("nonsense")
    assert [each.task_id for each in box.waiting()] == ["t-1"]


def test_a_box_that_is_away_says_so(letters: DeadLetterStore, letter: MakeLetter) -> None:
    away = DeadLetterOutbox(Redis.from_url("redis://127.0.0.1:1/0"))
    with pytest.raises(BrokerUnavailable):
        away.put(letter())
    with pytest.raises(BrokerUnavailable):
        away.file_in(letters)
