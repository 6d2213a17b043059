"""The blob store at an address."""

from typing import Final
from urllib.parse import urlsplit

from paddlewheel.blobs.store import BlobStore
from paddlewheel.errors import ConfigurationError

REDIS_SCHEMES: Final = frozenset({"redis", "rediss", "unix", "valkey", "valkeys"})


def open_blob_store(url: str, *, ttl: float, max_bytes: int) -> BlobStore:
    """The store at `url`, keeping each blob for `ttl` seconds and taking at most `max_bytes` of it.

    `redis://`, `rediss://`, `unix://` and `valkey://` speak the Redis protocol, `file:///folder` is a
    shared folder, anything else is left to fsspec. Raises ConfigurationError, MissingExtra.
    """
    if not ttl > 0 or max_bytes < 1:
        raise ConfigurationError("The blob store's time to live and its size cap have to be above zero.")
    scheme = urlsplit(url).scheme
    if scheme in REDIS_SCHEMES:
        from paddlewheel.blobs.redis_server import RedisBlobStore

        return RedisBlobStore(url, ttl=ttl, max_bytes=max_bytes)
    if scheme == "file":
        from paddlewheel.blobs.shared_folder import FileBlobStore, folder_of

        return FileBlobStore(folder_of(url), ttl=ttl, max_bytes=max_bytes)
    if not scheme:
        raise ConfigurationError("The blob store needs a URL such as redis://host:6379/1 or file:///folder.")
    from paddlewheel.blobs.object_store import FsspecBlobStore

    return FsspecBlobStore(url, ttl=ttl, max_bytes=max_bytes)
