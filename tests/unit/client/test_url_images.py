"""Fetching by address: a real server on loopback, and names that resolve as an attacker would have it."""

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddlewheel.errors import UrlRefused, UrlUnavailable
from paddlewheel.sources.url_fetcher import UrlFetcher, UrlPolicy

LOOPBACK = ipaddress.ip_network("127.0.0.0/8")
TLS = Path(__file__).parents[2] / "data" / "tls"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(5000)


class Answers(BaseHTTPRequestHandler):
    """Answers by path."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/trickle":
            self.wfile.write(b"HTTP/1.0 200 OK\r\n")
            self._trickle()
            return
        status, headers, body = {
            "/image.png": (200, {"Content-Type": "image/png", "Content-Length": str(len(PNG))}, PNG),
            "/unnamed": (200, {}, PNG),
            "/page": (200, {"Content-Type": "text/html"}, b"<html>"),
            "/missing": (404, {}, b""),
            "/packed": (200, {"Content-Encoding": "gzip"}, PNG),
            "/large": (200, {"Content-Length": str(1 << 40)}, b""),
            "/endless": (200, {}, bytes(1 << 20)),
            "/short": (200, {"Content-Length": "9000"}, PNG),
            "/moved": (302, {"Location": "/image.png"}, b""),
            "/loop": (302, {"Location": "/loop"}, b""),
            "/inside": (302, {"Location": "http://169.254.169.254/latest/meta-data"}, b""),
            "/file": (302, {"Location": "file:///etc/passwd"}, b""),
            "/nowhere": (302, {}, b""),
        }[path]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.server.posted = self.rfile.read(int(self.headers["Content-Length"]))  # type: ignore[attr-defined]
        self.send_response(302 if self.path == "/moved" else 204)
        self.send_header("Location", "http://169.254.169.254/")
        self.end_headers()

    def _trickle(self) -> None:
        try:
            for number in range(10_000):
                self.wfile.write(b"X-%d: y\r\n" % number)
                time.sleep(0.02)
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay silent."""


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving() as listening:
        yield listening


def here(host: str, port: int) -> list[str]:
    del host, port
    return ["127.0.0.1"]


def fetcher(resolver: Callable[[str, int], list[str]] = here, **policy: object) -> UrlFetcher:
    settings = {"allow_http": True, "networks": (LOOPBACK,), "max_bytes": 100_000, **policy}
    return UrlFetcher(UrlPolicy(**settings), resolver=resolver)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["image.png", "unnamed", "moved", "image.png?signature=a%20b"])
def test_an_image_is_fetched(port: int, path: str) -> None:
    assert fetcher().fetch(f"http://images.test:{port}/{path}") == PNG


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("page", "text/html, not an image"),
        ("missing", "status 404"),
        ("packed", "compressed"),
        ("large", "more than 100000 bytes"),
        ("endless", "more than 100000 bytes"),
        ("short", "IncompleteRead"),
    ],
)
def test_a_server_without_the_image_is_named_with_the_reason(port: int, path: str, why: str) -> None:
    with pytest.raises(UrlUnavailable, match=why):
        fetcher().fetch(f"http://images.test:{port}/{path}")


@pytest.mark.parametrize("path", ["inside", "file", "loop"])
def test_a_redirect_is_checked_like_the_first_address(port: int, path: str) -> None:
    def resolver(host: str, port: int) -> list[str]:
        return [host] if host[0].isdigit() else here(host, port)

    with pytest.raises(UrlRefused):
        fetcher(resolver).fetch(f"http://images.test:{port}/{path}")


def test_a_redirect_to_nowhere_ends(port: int) -> None:
    with pytest.raises(UrlRefused, match="redirects more than"):
        fetcher().fetch(f"http://images.test:{port}/nowhere")


@pytest.mark.parametrize(
    "url",
    [
        "http://images.test/a.png",
        "ftp://images.test/a.png",
        "file:///etc/passwd",
        "gopher://images.test/",
        "images.test/a.png",
        "",
        "https://",
        "https://user:word@images.test/a.png",
        "https://images.test:99999/a.png",
        "https://images.test/a b.png",
        "https://images.test/a\r\nHost: x",
        "https://" + "a" * 300 + ".test/",
        "https://[::1",
    ],
)
def test_only_https_addresses_are_accepted(url: str) -> None:
    with pytest.raises(UrlRefused):
        fetcher(allow_http=False).fetch(url)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "255.255.255.255"),
        *(
            "169.254.169.254",
            "224.0.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "0.0.0.1",
            "::",
            "::1",
            "fe80::1",
            "fd00:ec2::254",
        ),
        *(
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "0.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::1",
            "ff02::1",
        ),
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    ],
)
def test_a_name_of_a_private_address_is_refused(address: str) -> None:
    with pytest.raises(UrlRefused, match="not a public address"):
        fetcher(lambda *_: [address], networks=()).fetch("http://images.test/a.png")
    with pytest.raises(UrlRefused, match="not a public address"):
        fetcher(lambda *_: ["93.184.216.34", address], networks=()).fetch("http://images.test/a.png")


@given(st.ip_addresses())
def test_an_address_is_public_only_if_everything_it_stands_for_is(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if UrlPolicy().allows_address(address):
        assert address.is_global
        assert not address.is_private
        assert not address.is_loopback
        assert not address.is_link_local


def test_a_name_that_resolves_differently_the_second_time_gains_nothing(port: int) -> None:
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        del port
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    assert fetcher(rebinding).fetch(f"http://images.test:{port}/image.png") == PNG
    assert asked == ["images.test"]
    with pytest.raises(UrlRefused, match="not a public address"):
        fetcher(rebinding).fetch(f"http://images.test:{port}/moved")


def test_only_listed_hosts_are_asked(port: int) -> None:
    listed = fetcher(hosts=("images.test", ".photos.test"))
    for host in ("images.test", "a.photos.test", "IMAGES.TEST"):
        assert listed.fetch(f"http://{host}:{port}/image.png") == PNG
    for host in ("evil.test", "photos.test.evil.test", "notimages.test", "photos.test"):
        with pytest.raises(UrlRefused, match="list of hosts"):
            listed.fetch(f"http://{host}:{port}/image.png")


def test_a_server_that_sends_a_header_at_a_time_is_left(port: int) -> None:
    began = time.monotonic()
    with pytest.raises(UrlUnavailable, match=r"no answer within 0\.3 s"):
        fetcher(timeout=0.3).fetch(f"http://images.test:{port}/trickle")
    assert time.monotonic() - began < 30


def test_a_post_gets_its_status_and_follows_no_redirect(port: int) -> None:
    url = f"http://images.test:{port}"
    assert fetcher().post(f"{url}/hook", b"{}", {"Content-Type": "application/json"}) == 204
    assert fetcher().post(f"{url}/moved", b"{}", {}) == 302
    with pytest.raises(UrlRefused, match="not a public address"):
        fetcher(networks=()).post(f"{url}/hook", b"{}", {})


def test_a_name_server_that_says_nothing_is_left() -> None:
    said = threading.Event()

    def silent(host: str, port: int) -> list[str]:
        said.wait(30)
        return here(host, port)

    with pytest.raises(UrlUnavailable, match="not a known name"):
        fetcher(silent, timeout=0.2).fetch("http://images.test/a.png")
    said.set()


def test_a_closed_port_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(UrlUnavailable, match="cannot be reached"):
            fetcher().fetch(f"http://images.test:{taken.getsockname()[1]}/a.png")


def test_https_is_checked_against_the_name() -> None:
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(TLS / "images.test.crt", TLS / "images.test.key")
    trusting = ssl.create_default_context(cafile=str(TLS / "images.test.crt"))
    policy = UrlPolicy(networks=(LOOPBACK,))
    with serving(ours) as port:
        assert (
            UrlFetcher(policy, resolver=here, tls=trusting).fetch(f"https://images.test:{port}/image.png")
            == PNG
        )
        with pytest.raises(UrlUnavailable, match="SSLCertVerificationError"):
            UrlFetcher(policy, resolver=here, tls=trusting).fetch(f"https://other.test:{port}/image.png")
        with pytest.raises(UrlUnavailable, match="SSLCertVerificationError"):
            UrlFetcher(policy, resolver=here).fetch(f"https://images.test:{port}/image.png")
