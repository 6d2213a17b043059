"""The errors of a server that speaks the Redis protocol, in sentences that may be shown to anyone."""

from typing import Final

AUTHENTICATION_FAILED: Final = (
    "Authentication failed: the {} does not accept the user name or password in its URL. Correct the URL."
)
_LONGEST: Final = 200


def server_words(err: BaseException) -> str:
    """What the server said, without the command that redis-py puts in front of it: a script or an image."""
    return str(err).rpartition(" of pipeline caused error: ")[2][:_LONGEST]
