"""Limits the request rate of each key with a token bucket in the broker, shared by all gateways."""

import math
import time
from typing import TYPE_CHECKING, Final, cast

from gateway.problems import Refusal
from paddlewheel.wire.connection import broker_errors

if TYPE_CHECKING:
    from redis.asyncio import Redis

_KEY: Final = "paddlewheel:rate:{}"

# The bucket refills with the time since the last request; returns the seconds until a token is available.
_TAKE: Final = """
local now, rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local state = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(state[1]) or burst, tonumber(state[2]) or now
tokens = math.min(burst, tokens + math.max(0, now - at) * rate)
local wait = 0
if tokens < 1 then wait = (1 - tokens) / rate else tokens = tokens - 1 end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', tostring(math.max(now, at)))
redis.call('EXPIRE', KEYS[1], math.ceil(burst / rate) + 1)
return tostring(wait)
"""


class RateLimiter:
    """Allows `rate` requests a second and bursts of `burst`; a rate of 0 means no limit."""

    def __init__(self, redis: "Redis", rate: float, burst: int) -> None:
        self._redis = redis
        self._rate = rate
        self._burst = burst

    async def take(self, key_id: str) -> None:
        """Take one token. Raises Refusal (429, with Retry-After) if there is none."""
        if not self._rate:
            return
        with broker_errors():
            waited = await self._redis.eval(
                _TAKE, 1, _KEY.format(key_id), repr(time.time()), repr(self._rate), str(self._burst)
            )
        seconds = float(cast("bytes", waited))
        if seconds > 0:
            raise Refusal(
                429,
                "too_many_requests",
                f"This key may send {self._rate:g} requests a second: try again in {seconds:.1f} s.",
                headers={"Retry-After": str(math.ceil(seconds))},
            )
