"""Background work of a process, beside its requests."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

_AGAIN: Final = 1.0
"""Seconds before cancelling again: a library may swallow a cancellation that races with its answer."""

_TIMES: Final = 10
"""Cancellations before work that does not end is abandoned, so that the process can exit."""

log = logging.getLogger(__name__)


@asynccontextmanager
async def run_in_background(work: Callable[[], Coroutine[Any, Any, None]], name: str) -> AsyncIterator[None]:
    """Run `work` while the context is open, and cancel it on exit."""
    task = asyncio.create_task(work(), name=name)
    try:
        yield
    finally:
        for _ in range(_TIMES):
            task.cancel()
            if (await asyncio.wait({task}, timeout=_AGAIN))[0]:
                break
        else:
            log.error("%s did not stop after %d cancellations and was abandoned", name, _TIMES)
