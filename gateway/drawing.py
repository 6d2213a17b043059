"""Annotated pictures for answers, drawn beside the event loop."""

import asyncio
import base64
import io
from typing import Final

from paddlewheel.contracts.results import Result

QUALITY: Final = 90


async def jpeg(result: Result, wanted: bool | None) -> str | None:
    """The drawn result as a JPEG, base64; None if it is not wanted. PaddleX draws unless told not to."""
    return None if wanted is False else await asyncio.to_thread(_jpeg, result)


def _jpeg(result: Result) -> str:
    drawn = io.BytesIO()
    result.draw().convert("RGB").save(drawn, "JPEG", quality=QUALITY)
    return base64.b64encode(drawn.getvalue()).decode()
