"""Draws annotated pictures for answers in a thread, off the event loop."""

import asyncio
import base64
import io
from typing import Final

from paddlewheel.contracts.results import Result

QUALITY: Final = 90


async def jpeg(result: Result, wanted: bool | None) -> str | None:
    """Draw a result as a base64 JPEG. PaddleX draws by default; `wanted=False` returns None."""
    return None if wanted is False else await asyncio.to_thread(_jpeg, result)


def _jpeg(result: Result) -> str:
    drawn = io.BytesIO()
    result.draw().convert("RGB").save(drawn, "JPEG", quality=QUALITY)
    return base64.b64encode(drawn.getvalue()).decode()
