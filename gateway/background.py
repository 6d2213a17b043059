"""Work that goes on beside the requests of a process."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

_AGAIN: Final = 1.0
"""Seconds until a cancellation that got lost is repeated: a library may swallow one that races its answer."""

_TIMES: Final = 10
"""Cancellations after which work that does not end is left behind: a process has to end."""

log = logging.getLogger(__name__)


@asynccontextmanager
async def running(work: Callable[[], Coroutine[Any, Any, None]], name: str) -> AsyncIterator[None]:
    """Do the work meanwhile; it is cancelled at the end."""
    task = asyncio.create_task(work(), name=name)
    try:
        yield
    finally:
        for _ in range(_TIMES):
            task.cancel()
            if (await asyncio.wait({task}, timeout=_AGAIN))[0]:
                break
        else:
            log.error("%s does not end, and is left behind", name)
