"""Where the servers are: arguments first, then the environment, then the local servers of this checkout.

`make up` writes `.paddlewheel/connection.json`; it is looked for in the current folder and its parents, so
that the command line works in a checkout without any setting.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from paddlewheel.errors import ConfigurationError

CONNECTION_FILE = Path(".paddlewheel") / "connection.json"
REDIS_SCHEMES = ("redis://", "rediss://", "unix://", "valkey://", "valkeys://")


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """The three servers a client talks to. Addresses carry passwords, so they are never shown."""

    broker: str = field(repr=False)
    results: str = field(repr=False)
    blobs: str = field(repr=False)

    @classmethod
    def find(
        cls,
        broker: str | None = None,
        results: str | None = None,
        blobs: str | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> "Addresses":
        """Results and blobs live on the broker's server unless they are given an address of their own."""
        env = os.environ if environment is None else environment
        broker = broker or env.get("PADDLEWHEEL_BROKER_URL")
        results = results or env.get("PADDLEWHEEL_RESULT_URL")
        blobs = blobs or env.get("PADDLEWHEEL_BLOB_URL")
        if not broker:
            local = local_connection(folder or Path.cwd())
            broker = local.get("broker_url")
            results = results or local.get("result_url")
            blobs = blobs or local.get("blob_url")
        if not broker:
            raise ConfigurationError(
                "No broker address: pass broker_url, set PADDLEWHEEL_BROKER_URL, or start the local servers "
                "with 'make up' and call from inside the checkout."
            )
        results = results or broker
        _require_redis("broker", broker)
        _require_redis("result store", results)
        return cls(broker=broker, results=results, blobs=blobs or results)


def local_connection(folder: Path) -> dict[str, str]:
    """What the local servers of the checkout around `folder` wrote down, or nothing."""
    return _found(folder)[1]


def local_checkout(folder: Path) -> Path | None:
    """The checkout around `folder` whose local servers wrote that down."""
    return _found(folder)[0]


def _found(folder: Path) -> tuple[Path | None, dict[str, str]]:
    for parent in (folder, *folder.parents):
        path = parent / CONNECTION_FILE
        try:
            return parent, {key: str(value) for key, value in json.loads(path.read_text()).items()}
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        except (ValueError, AttributeError) as err:
            raise ConfigurationError(f"{path} is damaged; 'make down' and 'make up' write it again.") from err
    return None, {}


def _require_redis(what: str, url: str) -> None:
    if not url.startswith(REDIS_SCHEMES):
        scheme = url.partition("://")[0]
        raise ConfigurationError(
            f"The {what} has to speak the Redis protocol (redis://, rediss://, unix://), not {scheme}://."
        )
