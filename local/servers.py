"""The addresses of the servers, ours or the operator's."""

import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from urllib.parse import urlsplit

from paddlewheel.errors import ConfigurationError

DEFAULT_PORTS = {"redis": 6379, "valkey": 6379, "rediss": 6379, "valkeys": 6379, "amqp": 5672, "amqps": 5671}
POSTGRES_PORT = 5432


@dataclass(frozen=True, kw_only=True)
class Servers:
    """Server addresses; empty if there is no such server. They hold passwords, so repr omits them."""

    broker_url: str = field(default="", repr=False)
    result_url: str = field(default="", repr=False)
    blob_url: str = field(default="", repr=False)
    database_url: str = field(default="", repr=False)

    @classmethod
    def named_in(cls, environment: Mapping[str, str]) -> "Servers":
        """The operator's servers, from the variables that the client and the workers read."""
        return cls(
            **{each.name: environment.get(f"PADDLEWHEEL_{each.name.upper()}", "") for each in fields(cls)}
        )

    def completed(self) -> "Servers":
        """Fill in defaults: results and blobs are on the broker's server unless they have an address."""
        results = self.result_url or self.broker_url
        return replace(self, result_url=results, blob_url=self.blob_url or results)

    def connection(self) -> dict[str, str]:
        """The known addresses by name, for clients on this machine."""
        return {name: url for name, url in asdict(self).items() if url}

    def environment(self) -> dict[str, str]:
        """The known addresses as environment variables, for processes on this machine."""
        return {f"PADDLEWHEEL_{name.upper()}": url for name, url in self.connection().items()}

    def check(self) -> None:
        """Raise ConfigurationError if nothing listens at an address that the operator set."""
        check_listening("PADDLEWHEEL_BROKER_URL", self.broker_url)
        check_listening("PADDLEWHEEL_DATABASE_URL", self.database_url)


def shown(url: str) -> str:
    """The host and port of an address, or its path: the part without credentials."""
    parts = urlsplit(url)
    scheme = parts.scheme.partition("+")[0]
    if not parts.hostname:
        return parts.path
    return f"{parts.hostname}:{parts.port or DEFAULT_PORTS.get(scheme, POSTGRES_PORT)}"


def check_listening(variable: str, url: str) -> None:
    if not url or not urlsplit(url).hostname:
        return  # a unix socket is checked by the service that opens it
    try:
        where = shown(url)
        host, _, port = where.rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except ValueError as err:
        raise ConfigurationError(f"{variable} is not an address.") from err
    except OSError as err:
        raise ConfigurationError(
            f"Nothing listens at {where}, the address in {variable} ({err}): start the server, "
            "or unset the variable to use the local one."
        ) from err
