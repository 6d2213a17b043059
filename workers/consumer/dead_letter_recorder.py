"""Moves dead letters from the outbox in the result store to Postgres, while both are available."""

import logging
import threading
from typing import Final

from job_store.dead_letter_outbox import DeadLetterOutbox
from job_store.dead_letter_store import DeadLetterStore
from paddlewheel.errors import BrokerUnavailable, DatabaseUnavailable, SchemaOutdated

PAUSE: Final = 2.0
"""Seconds between two moves."""

log = logging.getLogger(__name__)


class DeadLetterRecorder:
    """A thread of the worker. It logs an unavailable database once and tries again at every move."""

    def __init__(self, outbox: DeadLetterOutbox, letters: DeadLetterStore) -> None:
        self._outbox = outbox
        self._letters = letters
        self._trouble: str | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dead-letters", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; letters that were not moved stay in the outbox."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(PAUSE):
            self._move()

    def _move(self) -> None:
        try:
            moved = self._outbox.file_in(self._letters)
        except (BrokerUnavailable, DatabaseUnavailable, SchemaOutdated) as err:
            if self._trouble != err.code:
                log.warning("dead letters wait in the result store. %s", err.message)
            self._trouble = err.code
        except Exception:
            # If the thread ended, later letters would silently stay in the outbox.
            log.exception("dead letters could not be moved to Postgres")
        else:
            self._trouble = None
            if moved:
                log.info("%d dead letters were moved to Postgres", moved)
