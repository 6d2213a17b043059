"""A site with models, of a test: an HTTP server on this machine that can break in the ways that sites do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Fault = Literal["break", "silence", "busy"]


@dataclass(kw_only=True)
class ModelSite:
    """`files` are its contents by path. `faults` are what the next answers do, one each.

    "break" closes the connection after half of the bytes, "silence" sends half and then nothing until the
    site closes, "busy" answers 503. Every request's path and Range are kept in `asked`.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    ranges: bool = True
    etag: bool = True
    lengths: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""
    closing: threading.Event = field(default_factory=threading.Event)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one GET."""
        self.asked.append((handler.path, handler.headers.get("Range")))
        fault = self.faults.pop(0) if self.faults else None
        if handler.path in self.redirects:
            _empty(handler, 302, {"Location": self.redirects[handler.path]})
        elif fault == "busy":
            _empty(handler, 503, {})
        elif handler.path not in self.files:
            _empty(handler, 404, {})
        else:
            self._send(handler, self.files[handler.path], fault)

    def _send(self, handler: BaseHTTPRequestHandler, content: bytes, fault: Fault | None) -> None:
        tag = f'"{hash(content):x}"'
        begin = self._begin(handler, tag)
        if begin is not None and begin >= len(content):
            _empty(handler, 416, {})
            return
        handler.send_response(206 if begin is not None else 200)
        if begin is not None:
            handler.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        rest = content[begin or 0 :]
        if self.lengths:
            handler.send_header("Content-Length", str(len(rest)))
        if self.etag:
            handler.send_header("ETag", tag)
        handler.end_headers()
        handler.wfile.write(rest[: len(rest) // 2] if fault else rest)
        handler.wfile.flush()
        if fault == "silence":
            self.closing.wait(20)

    def _begin(self, handler: BaseHTTPRequestHandler, tag: str) -> int | None:
        asked = handler.headers.get("Range")
        if not self.ranges or asked is None or handler.headers.get("If-Range") != tag:
            return None
        return int(asked.removeprefix("bytes=").removesuffix("-"))


def _empty(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
    handler.send_response(status)
    for name, value in {**headers, "Content-Length": "0"}.items():
        handler.send_header(name, value)
    handler.end_headers()


@contextmanager
def serving(site: ModelSite) -> Iterator[ModelSite]:
    """Serve until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.answer(self)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that goes away is what some tests are about."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        site.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield site
        finally:
            site.closing.set()
            server.shutdown()
            thread.join()
