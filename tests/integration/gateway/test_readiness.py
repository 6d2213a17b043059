"""A gateway whose servers are away reports it, and keeps running."""

import socket

from tests.integration.gateway.conftest import OpenGateway


async def test_a_gateway_that_starts_without_its_database_lives_and_is_not_ready(
    open_gateway: OpenGateway,
) -> None:
    with socket.socket() as taken:
        # Nobody listens there as long as it is bound.
        taken.bind(("127.0.0.1", 0))
        url = f"postgresql://nobody@127.0.0.1:{taken.getsockname()[1]}/nothing"
        async with open_gateway(database_url=url) as http:
            assert (await http.get("/health")).status_code == 200
            ready = await http.get("/ready")
            assert (ready.status_code, ready.json()["errorCode"]) == (503, 503)
            assert "Retry-After" in ready.headers
