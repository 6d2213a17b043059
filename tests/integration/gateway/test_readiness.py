"""A gateway whose servers are away says so, and goes on."""

import socket

from tests.integration.gateway.conftest import Opened


async def test_a_gateway_that_starts_without_its_database_lives_and_is_not_ready(opened: Opened) -> None:
    with socket.socket() as taken:
        # Nobody listens there as long as it is bound.
        taken.bind(("127.0.0.1", 0))
        url = f"postgresql://nobody@127.0.0.1:{taken.getsockname()[1]}/nothing"
        async with opened(database_url=url) as http:
            assert (await http.get("/health")).status_code == 200
            ready = await http.get("/ready")
            assert (ready.status_code, ready.json()["errorCode"]) == (503, 503)
            assert "Retry-After" in ready.headers
