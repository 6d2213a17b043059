import socket

import pytest

from local.ports import LOOPBACK, RANGE, free_port, is_free


def test_a_port_with_a_listener_is_not_free() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)


def test_a_drawn_port_is_in_range_and_free() -> None:
    port = free_port()
    assert port in RANGE
    assert is_free(port)


def test_a_port_that_is_kept_for_another_service_is_not_drawn() -> None:
    even = frozenset(port for port in RANGE if port % 2 == 0)
    assert {free_port(taken=even) % 2 for _ in range(20)} == {1}


def test_without_any_port_left_it_says_so() -> None:
    with pytest.raises(OSError, match="no free port"):
        free_port(taken=frozenset(RANGE))
