"""Blobs in a server that speaks the Redis protocol (Redis 7 or later, Valkey), which expires them itself."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import redis

from paddlewheel.blobs.content import ContentStore
from paddlewheel.errors import (
    AuthenticationFailed,
    BlobCorrupt,
    BlobError,
    BlobStoreUnavailable,
    ConfigurationError,
)
from paddlewheel.server_errors import AUTHENTICATION_FAILED, server_words

CONNECT_SECONDS = 5.0
REPLY_SECONDS = 30.0
UPLOAD_BYTES = 64_000_000
"""How much one pipeline of uploads may hold, so that many large images do not fill the memory twice."""
SENT_UNASKED = 32_768
"""A larger blob is sent only after the server said that it is missing; for a text line the question costs
more than the bytes (a put of 6 kB on one machine: 213 us with it, 155 us without)."""
REDIS_NAMES = {"valkey": "redis", "valkeys": "rediss"}


def _key(digest: str) -> str:
    return f"paddlewheel:blob:{digest}"


@contextmanager
def _translated() -> Iterator[None]:
    """The driver's errors name the server but never its password, so their text may be shown."""
    try:
        yield
    except redis.AuthenticationError as err:
        raise AuthenticationFailed(AUTHENTICATION_FAILED.format("blob store")) from err
    except redis.ResponseError as err:
        raise BlobStoreUnavailable(f"The blob store refused to work: {server_words(err)}.") from err
    except redis.RedisError as err:
        raise BlobStoreUnavailable(f"The blob store cannot be reached: {server_words(err)}.") from err


class RedisBlobStore(ContentStore):
    """Blobs under `paddlewheel:blob:<digest>`. A put that finds a large one there does not send it."""

    def __init__(self, url: str, *, ttl: float, max_bytes: int, now: Callable[[], float] = time.time) -> None:
        super().__init__(ttl=ttl, max_bytes=max_bytes, now=now)
        scheme, _, rest = url.partition("://")
        try:
            self._redis = redis.Redis.from_url(
                f"{REDIS_NAMES.get(scheme, scheme)}://{rest}",
                socket_connect_timeout=CONNECT_SECONDS,
                socket_timeout=REPLY_SECONDS,
            )
        except ValueError as err:
            raise ConfigurationError("The blob store's URL is not a valid Redis URL.") from err

    def _write(self, blobs: Mapping[str, bytes]) -> Mapping[str, float | None]:
        milliseconds = max(1, round(self._ttl * 1000))
        expires_at = self._now() + self._ttl
        missing = self._renew([d for d, data in blobs.items() if len(data) > SENT_UNASKED], milliseconds)
        wanted = [(d, data) for d, data in blobs.items() if len(data) <= SENT_UNASKED or d in missing]
        for upload in uploads_of(wanted):
            with _translated(), self._redis.pipeline(transaction=False) as pipeline:
                for digest, data in upload:
                    pipeline.set(_key(digest), data, px=milliseconds, nx=True)
                    pipeline.pexpire(_key(digest), milliseconds, gt=True)
                pipeline.execute()
        return dict.fromkeys(blobs, expires_at)

    def _renew(self, digests: Sequence[str], milliseconds: int) -> set[str]:
        """Prolong what is there, never shorten what another client keeps for longer; what is missing."""
        if not digests:
            return set()
        with _translated(), self._redis.pipeline(transaction=False) as pipeline:
            for digest in digests:
                pipeline.pexpire(_key(digest), milliseconds, gt=True)
                pipeline.exists(_key(digest))
            replies = pipeline.execute()
        return {digest for digest, there in zip(digests, replies[1::2], strict=True) if not there}

    def _read(self, digests: Sequence[str]) -> Mapping[str, bytes | BlobError]:
        with _translated(), self._redis.pipeline(transaction=False) as pipeline:
            for digest in digests:
                pipeline.exists(_key(digest))
                pipeline.getrange(_key(digest), 0, self._max_bytes)
            replies = pipeline.execute(raise_on_error=False)
        found: dict[str, bytes | BlobError] = {}
        for digest, there, data in zip(digests, replies[0::2], replies[1::2], strict=True):
            if there or data:
                found[digest] = _content(data)
        return found

    def close(self) -> None:
        self._redis.close()


def _content(reply: Any) -> bytes | BlobError:
    if isinstance(reply, bytes):
        return reply
    if isinstance(reply, redis.AuthenticationError):
        raise AuthenticationFailed(AUTHENTICATION_FAILED.format("blob store")) from reply
    if "WRONGTYPE" in str(reply):
        return BlobCorrupt("Something that is not a blob is stored under the blob's key.")
    raise BlobStoreUnavailable(f"The blob store refused to work: {server_words(reply)}.") from reply


def uploads_of(
    blobs: Sequence[tuple[str, bytes]], *, limit: int = UPLOAD_BYTES
) -> Iterator[list[tuple[str, bytes]]]:
    """The blobs in order, parted so that none of the parts but a single blob is above the limit."""
    upload: list[tuple[str, bytes]] = []
    held = 0
    for digest, data in blobs:
        if upload and held + len(data) > limit:
            yield upload
            upload, held = [], 0
        upload.append((digest, data))
        held += len(data)
    if upload:
        yield upload
