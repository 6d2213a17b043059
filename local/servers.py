"""The addresses of the servers, ours or the operator's own."""

import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from urllib.parse import urlsplit

from paddlewheel.errors import ConfigurationError

DEFAULT_PORTS = {"redis": 6379, "valkey": 6379, "rediss": 6379, "valkeys": 6379, "amqp": 5672, "amqps": 5671}
POSTGRES_PORT = 5432


@dataclass(frozen=True, kw_only=True)
class Servers:
    """Empty where there is none. Addresses carry passwords, so they are never shown."""

    broker_url: str = field(default="", repr=False)
    result_url: str = field(default="", repr=False)
    blob_url: str = field(default="", repr=False)
    database_url: str = field(default="", repr=False)

    @classmethod
    def named_in(cls, environment: Mapping[str, str]) -> "Servers":
        """The operator's own servers, by the variables that the client and the workers read too."""
        return cls(
            **{each.name: environment.get(f"PADDLEWHEEL_{each.name.upper()}", "") for each in fields(cls)}
        )

    def completed(self) -> "Servers":
        """Results and blobs live on the broker's server unless they have an address of their own."""
        results = self.result_url or self.broker_url
        return replace(self, result_url=results, blob_url=self.blob_url or results)

    def connection(self) -> dict[str, str]:
        """What a client of this machine reads, without the servers that there are none of."""
        return {name: url for name, url in asdict(self).items() if url}

    def environment(self) -> dict[str, str]:
        """What the processes of this machine read, by the same variables."""
        return {f"PADDLEWHEEL_{name.upper()}": url for name, url in self.connection().items()}

    def check(self) -> None:
        """Raises ConfigurationError if nothing listens where the operator says that a server is."""
        check_listening("PADDLEWHEEL_BROKER_URL", self.broker_url)
        check_listening("PADDLEWHEEL_DATABASE_URL", self.database_url)


def shown(url: str) -> str:
    """The host and port of an address, or its path: what may be printed of it."""
    parts = urlsplit(url)
    scheme = parts.scheme.partition("+")[0]
    if not parts.hostname:
        return parts.path
    return f"{parts.hostname}:{parts.port or DEFAULT_PORTS.get(scheme, POSTGRES_PORT)}"


def check_listening(variable: str, url: str) -> None:
    if not url or not urlsplit(url).hostname:
        return  # a socket's path is for the service itself to open
    try:
        where = shown(url)
        host, _, port = where.rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except ValueError as err:
        raise ConfigurationError(f"{variable} is not an address.") from err
    except OSError as err:
        raise ConfigurationError(
            f"Nothing answers at {where}, the server that {variable} names ({err}): start it, "
            "or unset the variable to use the local one."
        ) from err
