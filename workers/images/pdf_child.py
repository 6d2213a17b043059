"""The process in which PDFs are drawn: a script of its own, which imports nothing of the project's.

Each request is a line of JSON on standard input, `open` followed by the file's bytes; each reply is a line of
JSON on standard output, that of `render` followed by the rows of the picture. It ends with its parent.
"""

import json
import os
import resource
import signal
import sys
from contextlib import suppress
from math import ceil, sqrt
from typing import Any, BinaryIO

import pypdfium2  # type: ignore[import-untyped]

POINTS_PER_INCH = 72.0
FILE_NOT_FOUND, PASSWORD_NEEDED = 2, 4
"""FPDF_ERR_FILE and FPDF_ERR_PASSWORD of pdfium's public header."""

ERRORS = {FILE_NOT_FOUND: "no_pages", PASSWORD_NEEDED: "encrypted"}
"""A document is opened from memory, so an error of files is the one that `_set_last_error` left."""


class Drawing:
    """The open documents by the parent's numbers. One thread only: pdfium has no lock of its own."""

    def __init__(self, requests: BinaryIO, replies: BinaryIO) -> None:
        self._requests = requests
        self._replies = replies
        self._documents: dict[int, Any] = {}

    def serve(self) -> None:
        """Answer until the parent closes its end."""
        for line in self._requests:
            request = json.loads(line)
            answer = {"open": self._open, "render": self._render, "close": self._close}[request["do"]]
            answer(request)
            self._replies.flush()

    def _open(self, request: dict[str, Any]) -> None:
        data = self._requests.read(request["size"])
        _set_last_error()
        try:
            document = pypdfium2.PdfDocument(data)
        except pypdfium2.PdfiumError as err:
            self._reply(error=ERRORS.get(err.err_code, "corrupt"))
            return
        if not len(document):
            document.close()
            self._reply(error="no_pages")
            return
        document.init_forms()
        self._documents[request["document"]] = document
        self._reply(pages=len(document))

    def _render(self, request: dict[str, Any]) -> None:
        try:
            page = self._documents[request["document"]][request["page"]]
        except pypdfium2.PdfiumError:
            self._reply(error="corrupt")
            return
        try:
            width, height = page.get_size()
            bitmap = page.render(scale=_scale(width, height, request))
            try:
                self._reply(width=bitmap.width, height=bitmap.height, stride=bitmap.stride)
                self._replies.write(bitmap.buffer)
            finally:
                bitmap.close()
        except pypdfium2.PdfiumError:
            self._reply(error="corrupt")
        finally:
            page.close()

    def _close(self, request: dict[str, Any]) -> None:
        document = self._documents.pop(request["document"], None)
        if document is not None:
            document.close()
        self._reply()

    def _reply(self, **fields: Any) -> None:
        self._replies.write(json.dumps(fields).encode() + b"\n")


def _set_last_error() -> None:
    """Set pdfium's last error to one that the next document cannot cause.

    For a document without pages pdfium sets none, and the error of another caller's document would be left.
    """
    pypdfium2.raw.FPDF_LoadDocument(b"", None)


def _scale(width: float, height: float, request: dict[str, Any]) -> float:
    """Pixels a point, within the caps: a page of 200 inches would need gigabytes at any fair dpi."""
    caps = request["max_side"] / max(width, height), sqrt(request["max_pixels"] / (width * height))
    scale = min(request["dpi"] / POINTS_PER_INCH, *caps)
    while ceil(width * scale) * ceil(height * scale) > request["max_pixels"]:
        scale *= 0.999
    return float(scale)


def main(max_memory: int) -> None:
    """Serve on the standard streams, with at most `max_memory` bytes of address space."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when this ends
    with suppress(ValueError):  # macOS has no such limit; there only the time is bounded
        resource.setrlimit(resource.RLIMIT_AS, (max_memory, max_memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that a library prints may get between the replies
    Drawing(sys.stdin.buffer, replies).serve()


if __name__ == "__main__":
    main(int(sys.argv[1]))
