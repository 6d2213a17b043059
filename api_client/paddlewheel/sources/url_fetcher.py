"""Fetch an image by its address, or post to one, without being led where nobody should go.

An address that a stranger wrote may name a private service, directly, through a redirect, or through a name
that resolves differently the second time. So a name is resolved once, the addresses are checked, the
connection goes to a checked address and to no other, and every redirect begins again at the top.
"""

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from paddlewheel.errors import UrlRefused, UrlUnavailable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Sequence[str]]

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
HEADERS: Final = {"Accept": "image/*, application/pdf", "Accept-Encoding": "identity"}
TYPES: Final = ("image/", "application/pdf", "application/octet-stream", "binary/octet-stream")
"""What the answer may call itself; what it really is, the image loader decides."""

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_CHUNK: Final = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class UrlPolicy:
    """What may be fetched. `timeout` (seconds) covers one image with its redirects.

    `hosts` limits names, exactly or, with a leading dot, with everything below; empty means any.
    `networks` are private networks that are allowed nevertheless, such as an object store's own.
    """

    hosts: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    allow_http: bool = False
    max_bytes: int = 32 << 20
    max_redirects: int = 3
    timeout: float = 20.0

    def allows_host(self, host: str) -> bool:
        """Whether a name is on the list, if there is one."""
        name = host.rstrip(".").lower()
        return not self.hosts or any(
            name == each.lower() or (each.startswith(".") and name.endswith(each.lower()))
            for each in self.hosts
        )

    def allows_address(self, address: Address) -> bool:
        """Whether an address is a public one, or on the list of private ones that are allowed."""
        for each in (address, *_inner(address)):
            if any(each.version == network.version and each in network for network in self.networks):
                continue
            if not each.is_global or each.is_multicast or each.is_reserved or each.is_unspecified:
                return False
        return True


@dataclass(frozen=True)
class _Target:
    secure: bool
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, parts: SplitResult) -> "_Target":
        """Raises ValueError (UnicodeError is one) for a port or a name that cannot be."""
        secure = parts.scheme == "https"
        path = parts._replace(scheme="", netloc="", fragment="").geturl()
        return cls(
            secure=secure,
            host=(parts.hostname or "").encode("idna").decode("ascii"),
            port=parts.port or (443 if secure else 80),
            path=path if path.startswith("/") else f"/{path}",
        )


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, as the operating system finds them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]).partition("%")[0] for each in found))


class UrlFetcher:
    """Fetches images over https, and posts. Safe to call from many threads."""

    def __init__(
        self, policy: UrlPolicy, *, resolver: Resolver = resolve, tls: ssl.SSLContext | None = None
    ) -> None:
        self._policy = policy
        self._resolver = resolver
        self._tls = tls or ssl.create_default_context()

    def fetch(self, url: str) -> bytes:
        """The bytes behind an address.

        Raises UrlRefused when the policy forbids it or any address on the way, UrlUnavailable when the
        server does not answer with an image in time.
        """
        deadline = time.monotonic() + self._policy.timeout
        for _ in range(self._policy.max_redirects + 1):
            target = self._checked(url)
            with self._asked(target, deadline) as answer:
                if answer.status not in REDIRECTS:
                    return self._body(answer, target.host, deadline)
                url = urljoin(url, answer.getheader("Location") or "")
        raise UrlRefused(f"{target.host} redirects more than {self._policy.max_redirects} times.")

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Post to an address; the status of the answer, whose body is not read. Redirects are not followed.

        Raises UrlRefused and UrlUnavailable.
        """
        deadline = time.monotonic() + self._policy.timeout
        with self._asked(self._checked(url), deadline, "POST", body, headers) as answer:
            return answer.status

    def check(self, url: str) -> None:
        """Raise UrlRefused for an address whose words alone forbid it; nobody is asked."""
        host = self._checked(url).host
        with contextlib.suppress(ValueError):
            self._require_public(host, [ipaddress.ip_address(host)])

    def _checked(self, url: str) -> "_Target":
        try:
            parts = urlsplit(url)
            target = _Target.of(parts)
        except ValueError as err:
            raise UrlRefused("The address is no URL: write https://host/path.") from err
        if parts.scheme not in (("https", "http") if self._policy.allow_http else ("https",)):
            raise UrlRefused(f"{parts.scheme or 'No scheme'} is not fetched: use an https address.")
        if not target.host or parts.username is not None or parts.password is not None:
            raise UrlRefused("The address needs a host, and may hold neither user nor password.")
        if any(ord(each) < 33 or ord(each) == 127 for each in url):
            raise UrlRefused("The address holds blanks or control characters: encode them.")
        if not self._policy.allows_host(target.host):
            raise UrlRefused(f"{target.host} is not on the list of hosts that images may come from.")
        return target

    @contextlib.contextmanager
    def _asked(
        self,
        target: "_Target",
        deadline: float,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] = HEADERS,
    ) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(target.host, target.port)
        connection.sock = self._connected(target.host, target.port, deadline)
        # A server may send one byte of a header at a time: the socket's own timeout never notices.
        watchdog = threading.Timer(max(0.0, deadline - time.monotonic()), _hang_up, [connection])
        watchdog.daemon = True
        watchdog.start()
        try:
            if target.secure:
                connection.sock = self._tls.wrap_socket(connection.sock, server_hostname=target.host)
            connection.request(method, target.path, body, dict(headers))
            yield connection.getresponse()
        except (OSError, http.client.HTTPException) as err:
            late = time.monotonic() >= deadline
            why = f"no answer within {self._policy.timeout:g} s" if late else type(err).__name__
            raise UrlUnavailable(f"{target.host} did not answer: {why}.") from err
        finally:
            watchdog.cancel()
            connection.close()

    def _connected(self, host: str, port: int, deadline: float) -> socket.socket:
        addresses = self._addresses(host, port, deadline)
        error: OSError | None = None
        for address in addresses:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            try:
                return socket.create_connection((str(address), port), timeout=left)
            except OSError as err:
                error = err
        raise UrlUnavailable(f"{host} cannot be reached.") from error

    def _addresses(self, host: str, port: int, deadline: float) -> list[Address]:
        try:
            addresses = [ipaddress.ip_address(each) for each in self._resolved(host, port, deadline)]
        except (OSError, UnicodeError) as err:
            raise UrlUnavailable(f"{host} is not a known name.") from err
        except ValueError as err:
            raise UrlRefused(f"{host} resolves to no internet address.") from err
        self._require_public(host, addresses)
        return addresses

    def _require_public(self, host: str, addresses: Sequence[Address]) -> None:
        # One forbidden address among several is reason enough: which one is taken is the attacker's choice.
        if not addresses or not all(map(self._policy.allows_address, addresses)):
            raise UrlRefused(f"{host} is not a public address: images are fetched from the internet only.")

    def _resolved(self, host: str, port: int, deadline: float) -> Sequence[str]:
        """Resolving has no timeout of its own, so it gets a thread."""
        found: list[Sequence[str]] = []
        faults: list[Exception] = []

        def ask() -> None:
            try:
                found.append(self._resolver(host, port))
            except Exception as err:
                faults.append(err)

        asking = threading.Thread(target=ask, name="resolve", daemon=True)
        asking.start()
        asking.join(max(0.0, deadline - time.monotonic()))
        if faults:
            raise faults[0]
        if not found:
            raise TimeoutError
        return found[0]

    def _body(self, answer: http.client.HTTPResponse, host: str, deadline: float) -> bytes:
        most = self._policy.max_bytes
        if answer.status != 200:
            raise UrlUnavailable(f"{host} answered with status {answer.status}.")
        kind = (answer.getheader("Content-Type") or "image/").lower()
        if not kind.startswith(TYPES):
            raise UrlUnavailable(f"{host} sent {kind.partition(';')[0]}, not an image.")
        if answer.getheader("Content-Encoding", "identity").lower() != "identity":
            raise UrlUnavailable(f"{host} sent a compressed answer that nobody asked for.")
        if answer.length is not None and answer.length > most:
            raise UrlUnavailable(f"The image of {host} has more than {most} bytes.")
        body = bytearray()
        while chunk := answer.read1(_CHUNK):
            body += chunk
            if len(body) > most:
                raise UrlUnavailable(f"The image of {host} has more than {most} bytes.")
        if time.monotonic() >= deadline:
            raise TimeoutError  # hung up by the watchdog, which looks like the end of an answer
        if answer.length:
            raise http.client.IncompleteRead(bytes(body), answer.length)
        return bytes(body)


def _inner(address: Address) -> Iterator[Address]:
    """The IPv4 addresses that an IPv6 one stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return
    if address.ipv4_mapped:
        yield address.ipv4_mapped
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield from address.teredo
    if address in _NAT64:
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)


def _hang_up(connection: http.client.HTTPConnection) -> None:
    with contextlib.suppress(OSError):
        connection.sock.shutdown(socket.SHUT_RDWR)
