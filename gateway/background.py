"""Work that goes on beside the requests of a process."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

_AGAIN: Final = 1.0
"""Seconds until a cancellation that got lost is repeated: a library may swallow one that races its answer."""


@asynccontextmanager
async def running(work: Callable[[], Coroutine[Any, Any, None]], name: str) -> AsyncIterator[None]:
    """Do the work meanwhile; it is cancelled at the end."""
    task = asyncio.create_task(work(), name=name)
    try:
        yield
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=_AGAIN)
