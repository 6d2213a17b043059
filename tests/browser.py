"""Headless Chromium over the DevTools protocol, spoken through a pipe: no port, no driver, no other host."""

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
ABSENT: Final = "Chromium is not installed: Debian's package is chromium"
FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)
SECONDS: Final = 60.0

# The browser reads commands from its descriptor 3 and answers on 4.
_READS, _ANSWERS = 3, 4
_CLEAR_OF_BOTH = 10


class Browser:
    """One page. `folder` is where the browser keeps what it has to keep."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._unread = b""
        self._session: str | None = None

    def __enter__(self) -> Self:
        assert CHROMIUM is not None, ABSENT
        theirs, self._commands = os.pipe()
        self._answers, ours = os.pipe()
        reads, answers = (fcntl.fcntl(each, fcntl.F_DUPFD, _CLEAR_OF_BOTH) for each in (theirs, ours))

        def take_their_places() -> None:
            os.dup2(reads, _READS)
            os.dup2(answers, _ANSWERS)

        self._process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={self._folder}", "--remote-debugging-pipe", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(_READS, _ANSWERS),
            preexec_fn=take_their_places,
        )
        for each in (theirs, ours, reads, answers):
            os.close(each)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._commands)
        os.close(self._answers)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What the browser answers to one command; events on the way are passed over."""
        number = next(self._numbers)
        command: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            command["sessionId"] = self._session
        os.write(self._commands, json.dumps(command).encode() + b"\x00")
        until = time.monotonic() + SECONDS
        while (answer := self._read(until)).get("id") != number:
            pass
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, url: str) -> None:
        """Go there."""
        self.call("Page.navigate", url=url)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression: str) -> Any:
        """The same, once it is something."""
        until = time.monotonic() + SECONDS
        while not (found := self.value(expression)):
            assert time.monotonic() < until, f"the page never had: {expression}"
            time.sleep(0.02)
        return found

    def click(self, selector: str) -> None:
        """Press the first element that matches, once there is one."""
        self.wait(f"(e => e && (e.scrollIntoView({{block: 'center'}}), e.click(), true))({_first(selector)})")

    def type(self, selector: str, text: str) -> None:
        """Write into a field as a keyboard does."""
        self.wait(f"(e => e && (e.focus(), true))({_first(selector)})")
        self.call("Input.insertText", text=text)

    def text(self, selector: str) -> str:
        """The words of the first element that matches, once it has any."""
        return str(self.wait(f"(e => e && e.innerText.trim())({_first(selector)})"))

    def scroll_to(self, selector: str) -> None:
        """Bring the first element that matches to the top."""
        self.wait(f"(e => e && (e.scrollIntoView(), true))({_first(selector)})")

    def picture(self, path: Path, *, width: int = 1200, height: int = 1000) -> None:
        """Keep what a window of that many pixels shows, as PNG."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def _read(self, until: float) -> dict[str, Any]:
        while b"\x00" not in self._unread:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, until - time.monotonic()))
            assert ready, "the browser does not answer"
            read = os.read(self._answers, 1 << 16)
            assert read, f"the browser ended with {self._process.wait(SECONDS)}"
            self._unread += read
        message, _, self._unread = self._unread.partition(b"\x00")
        found: dict[str, Any] = json.loads(message)
        return found


def _first(selector: str) -> str:
    return f"document.querySelector({json.dumps(selector)})"
