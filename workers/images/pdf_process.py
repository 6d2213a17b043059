"""A process that draws PDFs and may be killed, because a file decides how much time and memory a page takes.

A PDF of 2 kB can draw indefinitely, one of 500 kB can fill 6 GB, and only drawing it shows that.
"""

import json
import logging
import os
import subprocess
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from subprocess import PIPE
from typing import IO, Any

import numpy as np

from paddlewheel.errors import PdfCorrupt
from workers.images.limits import Image

log = logging.getLogger(__name__)

Process = subprocess.Popen[bytes]
Request = dict[str, Any]
Reply = dict[str, Any]

SCRIPT = Path(__file__).with_name("pdf_child.py")
INHERITED = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG")
"""The variables that the process inherits: the file that it draws may be hostile, so no secrets."""


class PdfProcess:
    """The parent's end, used by one thread at a time.

    A request that exceeds `max_seconds` or `max_memory` (bytes) ends the process and raises PdfCorrupt; the
    next use starts another. `generation` counts the processes: documents end with theirs.
    """

    def __init__(self, *, max_seconds: float, max_memory: int) -> None:
        self._max_seconds = max_seconds
        self._max_memory = max_memory
        self._process: Process | None = None
        self._kill: Callable[[], object] | None = None
        self._lock = threading.Lock()
        self._to_close: deque[int] = deque()
        self.generation = 0

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the process for requests that belong together, starting it if necessary."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            self._close_documents()
            yield

    def request(self, request: Request, body: bytes = b"") -> Reply:
        """The reply to a request, within `exclusive`. Raises PdfCorrupt."""
        with self._limit() as process:
            return _reply(process, request, body)

    def request_image(self, request: Request) -> tuple[Reply, Image | None]:
        """The reply to a request, and the image unless the reply has an error. Raises PdfCorrupt."""
        with self._limit() as process:
            reply = _reply(process, request, b"")
            return reply, None if "error" in reply else _picture(process, **reply)

    def close_document(self, document: int) -> None:
        """Close a document, now or at the next use: it never waits for another document's page."""
        self._to_close.append(document)
        if self._lock.acquire(blocking=False):
            try:
                self._close_documents()
            finally:
                self._lock.release()

    def end(self) -> None:
        """Kill the process; a later use starts another."""
        if self._kill is not None:
            self._kill()

    def _start(self) -> None:
        self._to_close.clear()
        command = [sys.executable, "-P", str(SCRIPT), str(self._max_memory)]
        environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
        self._process = subprocess.Popen(
            command, env=environment, stdin=PIPE, stdout=PIPE, stderr=subprocess.DEVNULL
        )
        self._kill = weakref.finalize(self, _end, self._process)
        self.generation += 1

    def _close_documents(self) -> None:
        while self._to_close and self._process is not None and self._process.poll() is None:
            self.request({"do": "close", "document": self._to_close.popleft()})

    @contextmanager
    def _limit(self) -> Iterator[Process]:
        process = self._process
        if process is None:
            raise RuntimeError("A PDF process was used outside of `exclusive`.")
        alarm = threading.Timer(self._max_seconds, process.kill)
        alarm.daemon = True
        alarm.start()
        try:
            yield process
        except (EOFError, BrokenPipeError) as err:
            self.end()
            log.warning("A PDF ended the process that drew it (exit status %s).", process.returncode)
            raise PdfCorrupt(
                f"The PDF cannot be drawn within {self._max_seconds:.0f} s and "
                f"{self._max_memory / 1e6:,.0f} MB of memory."
            ) from err
        finally:
            alarm.cancel()


def _reply(process: Process, request: Request, body: bytes) -> Reply:
    requests, replies = _pipes(process)
    requests.write(json.dumps(request).encode() + b"\n")
    requests.write(body)
    requests.flush()
    line = replies.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    reply: Reply = json.loads(line)
    return reply


def _picture(process: Process, *, width: int, height: int, stride: int) -> Image:
    rows = np.empty((height, stride), np.uint8)
    unread = rows.data.cast("B")
    while unread:
        size = _pipes(process)[1].readinto(unread)
        if not size:
            raise EOFError
        unread = unread[size:]
    return np.ascontiguousarray(rows[:, : 3 * width]).reshape(height, width, 3)


def _pipes(process: Process) -> tuple[IO[bytes], BufferedReader]:
    if process.stdin is None or not isinstance(process.stdout, BufferedReader):
        raise TypeError("The PDF process has no pipes.")
    return process.stdin, process.stdout


def _end(process: Process) -> None:
    process.kill()
    for pipe in _pipes(process):
        with suppress(BrokenPipeError):
            pipe.close()
    process.wait()
