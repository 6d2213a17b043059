"""Work beside the requests ends with them, or is left behind."""

import asyncio
import logging

import pytest

from gateway import background
from gateway.background import run_in_background


async def test_work_that_swallows_a_cancellation_is_cancelled_again() -> None:
    swallowed = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(30):
        async with run_in_background(work, "deaf once"):
            await asyncio.sleep(0)
        assert swallowed.is_set()


async def test_work_that_never_ends_does_not_keep_a_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background, "_AGAIN", 0.01)
    given_up = asyncio.Event()
    tasks: list[asyncio.Task[None] | None] = []

    async def work() -> None:
        tasks.append(asyncio.current_task())
        while not given_up.is_set():
            try:
                await given_up.wait()
            except asyncio.CancelledError:
                continue

    with caplog.at_level(logging.ERROR):
        async with asyncio.timeout(30), run_in_background(work, "deaf"):
            await asyncio.sleep(0)
    assert "deaf did not stop" in caplog.text
    given_up.set()
    (task,) = tasks
    assert task is not None
    await task
