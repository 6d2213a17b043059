import socket
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.ports import LOOPBACK, free_port
from local.servers import Servers, shown
from paddlewheel.errors import ConfigurationError

passwords = st.text(string.ascii_letters + string.digits, min_size=8, max_size=20)


@given(password=passwords)
def test_a_shown_address_never_holds_its_password(password: str) -> None:
    url = f"redis://user:{password}@host.example:6380/0"
    assert shown(url) == "host.example:6380"
    assert password not in repr(Servers(broker_url=url, database_url=url))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://a", "a:6379"),
        ("amqps://a/vhost", "a:5671"),
        ("postgresql+psycopg2://u:p@a/db", "a:5432"),
        ("unix:///run/valkey.sock?db=1", "/run/valkey.sock"),
    ],
)
def test_a_port_that_is_not_written_is_the_usual_one(url: str, expected: str) -> None:
    assert shown(url) == expected


def test_results_and_blobs_live_with_the_broker_unless_they_have_an_address() -> None:
    assert Servers(broker_url="redis://a").completed() == Servers(
        broker_url="redis://a", result_url="redis://a", blob_url="redis://a"
    )
    elsewhere = Servers(broker_url="amqp://a", result_url="redis://b")
    assert elsewhere.completed().blob_url == "redis://b"


def test_addresses_come_from_the_environment() -> None:
    environment = {"PADDLEWHEEL_BROKER_URL": "redis://a", "PADDLEWHEEL_OTHER": "x", "HOME": "/"}
    assert Servers.named_in(environment) == Servers(broker_url="redis://a")


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    port = free_port()
    with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port}.*PADDLEWHEEL_BROKER_URL") as caught:
        Servers(broker_url=f"redis://:hidden-word@{LOOPBACK}:{port}").check()
    assert "hidden-word" not in str(caught.value)


def test_an_address_without_a_port_number_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="PADDLEWHEEL_DATABASE_URL is not an address"):
        Servers(database_url="postgresql://host:port/db").check()


def test_a_server_that_answers_is_accepted() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        Servers(broker_url=f"redis://{LOOPBACK}:{server.getsockname()[1]}").check()
        assert Servers().connection() == {}
