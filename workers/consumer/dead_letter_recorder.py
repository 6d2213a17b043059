"""Carries dead letters from the result store to Postgres, whenever both are there."""

import logging
import threading
from typing import Final

from job_store.dead_letter_outbox import DeadLetterOutbox
from job_store.dead_letter_store import DeadLetterStore
from paddlewheel.errors import BrokerUnavailable, DatabaseUnavailable, SchemaOutdated

PAUSE: Final = 2.0
"""Seconds between two looks into the box."""

log = logging.getLogger(__name__)


class DeadLetterRecorder:
    """A thread of the worker. A database that is away is told of once, and tried again at every look."""

    def __init__(self, box: DeadLetterOutbox, letters: DeadLetterStore) -> None:
        self._box = box
        self._letters = letters
        self._trouble: str | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="letter-filing", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; what has not been filed stays in the box."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(PAUSE):
            self._look()

    def _look(self) -> None:
        try:
            filed = self._box.file_in(self._letters)
        except (BrokerUnavailable, DatabaseUnavailable, SchemaOutdated) as err:
            if self._trouble != err.code:
                log.warning("dead letters wait in the result store. %s", err.message)
            self._trouble = err.code
        except Exception:
            # A thread that ended would leave every later letter unfiled, and nobody would know.
            log.exception("dead letters could not be filed")
        else:
            self._trouble = None
            if filed:
                log.info("%d dead letters were filed", filed)
