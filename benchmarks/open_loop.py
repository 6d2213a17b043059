"""Load at a fixed rate, whatever the answers take, and latencies that hide nothing.

A caller that waits for an answer before it asks again stops asking while the system is slow, and the slow
seconds count once instead of for everybody who came in them. Here arrivals are planned beforehand, and an
answer's latency counts from its planned arrival, however late the message went out.
"""

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from paddlewheel import RECOGNIZE_TEXT, AsyncClient, ImageRef
from paddlewheel.errors import PaddlewheelError

PATIENCE: Final = 6.0
"""Default seconds after the last arrival in which answers count."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a rate came to. Milliseconds; the percentiles are of all arrivals, None where no answer came."""

    rate: float
    arrivals: int
    answered: int
    failed: int
    p50_ms: float | None
    p99_ms: float | None

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


async def at_rate(
    url: str, refs: Sequence[ImageRef], rate: float, seconds: float, *, patience: float = PATIENCE
) -> Load:
    """Ask for so many lines a second for so long; answers count until `patience` after the last arrival."""
    async with AsyncClient(url) as client:
        await asyncio.gather(*(_ask(client, ref) for ref in refs[:4]))
        count = int(rate * seconds)
        loop = asyncio.get_running_loop()
        began = loop.time() + 0.05
        asked = []
        for number, ref in zip(range(count), itertools.cycle(refs), strict=False):
            planned = began + number / rate
            await asyncio.sleep(max(0.0, planned - loop.time()))
            asked.append(asyncio.create_task(_latency(client, ref, planned)))
        done, late = await asyncio.wait(asked, timeout=patience)
        for each in late:
            each.cancel()
        await asyncio.gather(*late, return_exceptions=True)
    found = sorted(latency for each in done if (latency := each.result()) is not None)
    return Load(
        rate=rate,
        arrivals=count,
        answered=len(found),
        failed=len(done) - len(found),
        p50_ms=_percentile(found, 0.5, count),
        p99_ms=_percentile(found, 0.99, count),
    )


async def at_once(
    url: str, refs: Sequence[ImageRef], count: int, passes: int, *, together: bool = False
) -> float:
    """Lines a second when all of them are asked for at once: the best pass.

    A task a line, or with `together` sixteen lines a task, as `enqueue_many` sends them.
    """
    wanted = list(itertools.islice(itertools.cycle(refs), count))
    best = 0.0
    async with AsyncClient(url) as client:
        for _ in range(passes):
            began = time.perf_counter()
            if together:
                pendings = await client.enqueue_many(RECOGNIZE_TEXT, wanted)
            else:
                pendings = [await client.enqueue(RECOGNIZE_TEXT, ref) for ref in wanted]
            async for pending in client.as_completed(pendings, timeout=120):
                await pending.result()
            best = max(best, count / (time.perf_counter() - began))
    return best


async def _ask(client: AsyncClient, ref: ImageRef) -> None:
    pending = await client.enqueue(RECOGNIZE_TEXT, ref)
    await pending.result()


async def _latency(client: AsyncClient, ref: ImageRef, planned: float) -> float | None:
    try:
        await _ask(client, ref)
    except PaddlewheelError:
        return None
    return (asyncio.get_running_loop().time() - planned) * 1000


def _percentile(found: Sequence[float], part: float, of: int) -> float | None:
    """Of all arrivals: those without an answer took longer than any answer."""
    place = int(part * of)
    return round(found[place], 1) if place < len(found) else None
