"""Free ports on the loopback interface."""

import random
import socket

LOOPBACK = "127.0.0.1"
# Below the range of ephemeral ports, so that outgoing connections do not take our ports.
RANGE = range(20_000, 32_000)
ATTEMPTS = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(taken: frozenset[int] = frozenset()) -> int:
    """A random port on which nothing listens; two checkouts rarely draw the same."""
    for port in random.SystemRandom().sample(RANGE, ATTEMPTS):
        if port not in taken and is_free(port):
            return port
    raise OSError(f"no free port found on {LOOPBACK} between {RANGE.start} and {RANGE.stop}")
