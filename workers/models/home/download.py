"""One file over HTTP: resumed after an interruption, retried, never larger or slower than allowed.

A part is resumed only when the server says that the file is still the same one (`If-Range` with its
ETag or date, RFC 9110 section 13.1.5); otherwise the file is fetched from its beginning.
"""

import errno
import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urlsplit

from paddlewheel.errors import ConfigurationError, ModelDownloadFailed, ModelFilesRefused

Progress = Callable[[int, int | None], object]
"""Called with the received and the total bytes; the total is None where the server does not report it."""

_CHUNK: Final = 1 << 18
_AGAIN: Final = {408, 425, 429, 500, 502, 503, 504}
_GONE: Final = {404, 410}
_DISK: Final = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}


class NotPublishedError(Exception):
    """The server has nothing at that address; another address may have the model."""


@dataclass(frozen=True, kw_only=True)
class DownloadLimits:
    """How large and how slow a download may be.

    `timeout` is the seconds without a byte before a connection is given up, `patience` the seconds for the
    whole file; `attempts` bounds the attempts in a row that received nothing, `pause` is the seconds before
    the second of them and doubles before each further one.
    """

    max_bytes: int = 4 << 30
    timeout: float = 30
    patience: float = 3600
    attempts: int = 5
    pause: float = 1


def download(
    url: str, part: Path, limits: DownloadLimits, progress: Progress = lambda _done, _total: None
) -> None:
    """Fetch `url` into the file `part`; resumes what an interrupted run left there.

    Raises NotPublishedError where there is nothing, ModelDownloadFailed, ModelFilesRefused for too many
    bytes, and ConfigurationError for an address that is neither http nor https.
    """
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise ConfigurationError(f"{url} is not an https address.")
    _Download(url, part, limits, progress).run()


class _InterruptedError(Exception):
    """The connection failed; another attempt may succeed."""


class _Download:
    def __init__(self, url: str, part: Path, limits: DownloadLimits, progress: Progress) -> None:
        self._url = url
        self._part = part
        self._validator = part.with_name(f"{part.name}.json")
        self._limits = limits
        self._progress = progress
        self._opener = urllib.request.build_opener(_Redirects(urlsplit(url).scheme))
        self._deadline = time.monotonic() + limits.patience

    def run(self) -> None:
        failures = 0
        while True:
            before = self._size()
            try:
                self._try()
                break
            except _InterruptedError as err:
                failures = 1 if self._size() > before else failures + 1
                if failures >= self._limits.attempts:
                    raise ModelDownloadFailed(
                        f"{self._url} could not be fetched: {err}. What came is kept: try again, "
                        "or name another source."
                    ) from err
            pause = self._limits.pause * 2 ** (failures - 1)
            self._require_time(pause)
            time.sleep(pause)
        self._validator.unlink(missing_ok=True)

    def _try(self) -> None:
        try:
            with self._opener.open(self._request(), timeout=self._limits.timeout) as response:
                self._receive(response)
        except urllib.error.HTTPError as err:
            with err:
                self._raise_refusal(err)
        except http.client.HTTPException as err:
            raise _InterruptedError(f"the server's answer is malformed ({err!r})") from err
        except (urllib.error.URLError, OSError) as err:
            raise self._to_error(err) from err

    def _request(self) -> urllib.request.Request:
        request = urllib.request.Request(self._url, headers={"User-Agent": "paddlewheel"})  # noqa: S310
        known = self._known_validator()
        if self._size() and known:
            request.add_header("Range", f"bytes={self._size()}-")
            request.add_header("If-Range", known)
        return request

    def _receive(self, response: Any) -> None:
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        begin, total = self._range(response) if resumed else (0, _length(response))
        self._require_size(total)
        if not resumed:
            self._keep_validator(response)
        with self._part.open("r+b" if resumed else "wb") as file:
            file.seek(begin)
            done = self._copy(response, file, begin, total)
        if total is not None and done != total:
            raise _InterruptedError(f"the connection ended after {done} of {total} bytes")

    def _copy(self, response: Any, file: IO[bytes], done: int, total: int | None) -> int:
        self._progress(done, total)
        while chunk := response.read1(_CHUNK):
            done += len(chunk)
            self._require_size(done)
            file.write(chunk)
            self._progress(done, total)
            self._require_time()
        return done

    def _range(self, response: Any) -> tuple[int, int | None]:
        """Where the rest begins and how large the whole is, from `Content-Range: bytes 5-9/10`."""
        unit, _, rest = str(response.headers.get("Content-Range", "")).partition(" ")
        span, _, total = rest.partition("/")
        begin = span.partition("-")[0]
        if unit != "bytes" or begin != str(self._size()):
            self._discard_part()
            raise _InterruptedError("the server sent another range than was asked for")
        return int(begin), int(total) if total.isdigit() else None

    def _raise_refusal(self, err: urllib.error.HTTPError) -> None:
        if err.code in _GONE:
            raise NotPublishedError(f"{self._url} does not exist (HTTP {err.code}).") from err
        if err.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            self._discard_part()
            raise _InterruptedError("the part on disk does not fit the file") from err
        if err.code in _AGAIN:
            raise _InterruptedError(f"the server answered HTTP {err.code}") from err
        raise ModelDownloadFailed(
            f"{self._url} was refused (HTTP {err.code} {err.reason}): check the address, "
            "or name another source."
        ) from err

    def _to_error(self, err: OSError) -> Exception:
        reason = getattr(err, "reason", err)
        if isinstance(reason, ssl.SSLCertVerificationError):
            return ModelDownloadFailed(f"{self._url} has no certificate that is trusted here: {reason}.")
        if err.filename is not None or err.errno in _DISK:
            return ModelDownloadFailed(f"{self._part} cannot be written: {err}.")
        return _InterruptedError(str(reason) or type(reason).__name__)

    def _require_size(self, size: int | None) -> None:
        if size is not None and size > self._limits.max_bytes:
            self._discard_part()
            raise ModelFilesRefused(
                f"{self._url} has more than the {self._limits.max_bytes} bytes that are allowed for a model."
            )

    def _require_time(self, ahead: float = 0) -> None:
        if time.monotonic() + ahead > self._deadline:
            raise ModelDownloadFailed(
                f"{self._url} took longer than {self._limits.patience:g} s. What came is kept: try again, "
                "or name another source."
            )

    def _size(self) -> int:
        return self._part.stat().st_size if self._part.is_file() else 0

    def _keep_validator(self, response: Any) -> None:
        etag = response.headers.get("ETag", "")
        # A weak ETag does not promise equal bytes.
        found = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")
        self._validator.write_text(json.dumps({"url": self._url, "validator": found}))

    def _known_validator(self) -> str | None:
        try:
            kept = json.loads(self._validator.read_text())
            return str(kept["validator"]) if kept["url"] == self._url and kept["validator"] else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _discard_part(self) -> None:
        self._part.unlink(missing_ok=True)
        self._validator.unlink(missing_ok=True)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to http or to another scheme."""

    def __init__(self, scheme: str) -> None:
        self._allowed = ("https",) if scheme == "https" else ("http", "https")

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str) -> Any:
        if urlsplit(newurl).scheme not in self._allowed:
            raise ModelDownloadFailed(
                f"{req.full_url} leads to an address that is not https: name another source."
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _length(response: Any) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None
