"""Sends webhooks when a job or a batch job has ended: signed, retried, and never to a private address.

Headers and signature follow the Standard Webhooks specification, so that its libraries verify them.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final

from gateway.background import run_in_background
from job_store.webhooks import DueDelivery, Webhooks
from paddlewheel.errors import PaddlewheelError, UrlError, UrlRefused
from paddlewheel.sources.url_fetcher import UrlFetcher

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what a secret begins with
log = logging.getLogger(__name__)


def secret_of(master: str, key_id: str) -> str:
    """Derive the signing secret of one API key from the operator's secret, so that none is stored."""
    made = hmac.digest(master.encode(), f"webhook {key_id}".encode(), "sha256")
    return SECRET_PREFIX + base64.b64encode(made).decode()


def signed_headers(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a message, with its signature."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signature = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


SENDERS: Final = 16
"""Webhooks that are sent at the same time."""


class WebhookSender:
    """Sends the webhooks that are due. Without a master secret, submissions with a webhook are refused."""

    def __init__(self, table: Webhooks, fetcher: UrlFetcher, master: str, *, interval: float) -> None:
        self._table = table
        self._fetcher = fetcher
        self._master = master
        self._interval = interval
        # A separate pool, so that slow receivers do not delay other work.
        self._threads = ThreadPoolExecutor(SENDERS, thread_name_prefix="webhook")

    def check(self, url: str) -> None:
        """Raise UrlRefused for an address to which no webhook would be sent."""
        if not self._master:
            raise UrlRefused("Webhooks are off here: the operator has to set PADDLEWHEEL_WEBHOOK_SECRET.")
        self._fetcher.check(url)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send in the background while the context is open."""
        try:
            async with run_in_background(self._run, "webhooks"):
                yield
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def round(self) -> int:
        """Send every webhook that is due; returns how many."""
        due = await asyncio.to_thread(self._table.claim)
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(self._threads, self._send, each) for each in due))
        return len(due)

    def _send(self, due: DueDelivery) -> None:
        body = json.dumps(_event(due)).encode()
        # A task ends once. A batch job that is resumed ends again, which is a new message.
        message_id = f"task_{due.job_id}" if due.kind == "task" else f"batch_job_{due.job_id}_{due.number}"
        headers = signed_headers(secret_of(self._master, due.key_id), message_id, int(time.time()), body)
        try:
            status = self._fetcher.post(due.url, body, headers)
        except UrlError as err:
            self._table.mark_failed(due.number, None, err.message)
            return
        if 200 <= status < 300:
            self._table.mark_delivered(due.number, status)
        else:
            self._table.mark_failed(due.number, status, f"The receiver answered with status {status}.")

    async def _run(self) -> None:
        while True:
            sent = 0
            try:
                sent = await self.round() if self._master else 0
            except PaddlewheelError as err:
                log.warning(
                    "sending webhooks failed; the next try follows in %g s: %s", self._interval, err.message
                )
            except Exception:
                log.exception(
                    "sending webhooks failed unexpectedly; the next try follows in %g s", self._interval
                )
            if not sent:
                await asyncio.sleep(self._interval)


def _event(due: DueDelivery) -> Mapping[str, object]:
    """A webhook's body. It leaves the result out: the receiver fetches it with an API key."""
    return {
        "type": f"{due.kind}.{due.state}",
        "timestamp": due.finished_at.isoformat(),
        "data": {
            "id": due.job_id,
            "name": due.name,
            "state": due.state,
            "error_code": due.error_code,
            **due.lines,
            "url": f"/v1/{'tasks' if due.kind == 'task' else 'batch-jobs'}/{due.job_id}",
        },
    }
