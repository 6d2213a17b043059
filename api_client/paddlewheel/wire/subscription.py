"""The connection that listens for announcements, and its states.

    CLOSED --open--> CONNECTING --receive--> CONNECTED --lose, or a failed write--> CONNECTING
    any of them --close--> CLOSED

Only the listener connects, in `receive`. Writers (`subscribe`, `unsubscribe`) wait until it has: redis-py
would otherwise reconnect for a listener and a writer at once, over one connection.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from paddlewheel.errors import AuthenticationFailed, BrokerUnavailable
from paddlewheel.wire.connection import broker_errors

if TYPE_CHECKING:
    from redis.asyncio import Redis

CONNECT_PATIENCE: Final = 5.0
"""Seconds that a new waiter waits for a connection. Waiters that are subscribed already keep waiting."""

RECONNECT_PAUSE: Final = 0.2

LOST: Final = (BrokerUnavailable, AuthenticationFailed, AttributeError)
"""What `receive` raises when the connection is lost. It is an AttributeError when a writer has noticed the
loss first, because there is no stream to read from then."""


class State(Enum):
    """Where the connection stands."""

    CLOSED = "closed"
    CONNECTING = "connecting"
    CONNECTED = "connected"


class Subscription:
    """Subscribes to channels and receives what is published on them.

    `subscriber` must not reconnect by itself (`connect_once`). `wanted` gives the channels that are wanted
    at the moment: after a reconnect redis-py subscribes to all that it was subscribed to before, and those
    that nobody wants any longer are given up.
    """

    def __init__(self, subscriber: "Redis", wanted: Callable[[], Iterable[str]]) -> None:
        self._subscriber = subscriber
        self._wanted = wanted
        # It keeps the connection subscribed while nobody waits.
        self._own_channel = f"paddlewheel:client:{uuid.uuid4()}"
        self._pubsub: Any = None
        self._state = State.CLOSED
        self._connected = asyncio.Event()
        self._lost: Exception | None = None
        self._writing = asyncio.Lock()

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return self._state

    def open(self) -> None:
        """Start with a fresh connection; the next `receive` makes it."""
        self._pubsub = self._subscriber.pubsub()
        self._enter(State.CONNECTING)

    def lose(self, err: Exception) -> None:
        """The connection is lost: writers wait, and the next `receive` reconnects."""
        self._lost = err
        self._enter(State.CONNECTING)

    def note_failure(self, err: Exception) -> None:
        """Remember an error of the same server, for the message to a waiter that gets no connection."""
        self._lost = err

    def suspend(self) -> None:
        """Let writers wait until the subscription is opened again."""
        self._enter(State.CLOSED)

    async def close(self) -> None:
        """Close the connection."""
        self._enter(State.CLOSED)
        if self._pubsub is not None:
            await self._pubsub.aclose()
            self._pubsub = None

    async def receive(self, timeout: float) -> Any:
        """The next message of redis-py, or None after `timeout` seconds. Raises one of LOST."""
        if self._state is not State.CONNECTED:
            await self._connect()
        with broker_errors():
            return await self._pubsub.get_message(timeout=timeout)

    async def subscribe(self, *channels: str) -> None:
        """Subscribe beside the listener. Raises BrokerUnavailable after CONNECT_PATIENCE seconds."""
        await self._write(lambda pubsub: pubsub.subscribe(*channels))

    async def unsubscribe(self, *channels: str) -> None:
        """Unsubscribe beside the listener. Raises BrokerUnavailable after CONNECT_PATIENCE seconds."""
        await self._write(lambda pubsub: pubsub.unsubscribe(*channels))

    async def _connect(self) -> None:
        with broker_errors():
            if self._pubsub.connection is not None:
                await self._pubsub.connection.disconnect(nowait=True)
            await self._pubsub.connect()
            if not self._pubsub.channels:
                await self._pubsub.subscribe(self._own_channel)
            kept = {channel.encode() for channel in (self._own_channel, *self._wanted())}
            if unwanted := [channel for channel in self._pubsub.channels if channel not in kept]:
                await self._pubsub.unsubscribe(*unwanted)
        self._enter(State.CONNECTED)

    async def _write(self, command: Callable[[Any], Awaitable[Any]]) -> None:
        try:
            async with asyncio.timeout(CONNECT_PATIENCE), self._writing:
                while not await self._written(command):
                    await pause()
        except TimeoutError as err:
            if isinstance(self._lost, AuthenticationFailed):
                raise AuthenticationFailed(self._lost.message) from self._lost
            why = f"No result can be waited for: no connection within {CONNECT_PATIENCE:g} s."
            raise BrokerUnavailable(f"{why} {self._lost or ''}".strip()) from (self._lost or err)

    async def _written(self, command: Callable[[Any], Awaitable[Any]]) -> bool:
        """Send one command over a connection that stands; False where that has cost the connection."""
        await self._connected.wait()
        try:
            with broker_errors():
                await command(self._pubsub)
                return True
        except (BrokerUnavailable, AuthenticationFailed):
            return False
        finally:
            # Also when cancelled in the middle of a write, which costs the connection.
            if self._state is State.CONNECTED and not self._pubsub.connection.is_connected:
                self._enter(State.CONNECTING)

    def _enter(self, state: State) -> None:
        self._state = state
        if state is State.CONNECTED:
            self._connected.set()
        else:
            self._connected.clear()


async def pause() -> None:
    """The pause before another try."""
    await asyncio.sleep(RECONNECT_PAUSE)
