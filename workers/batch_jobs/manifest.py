"""A manifest's lines and the shards that they make, read as a stream: memory does not grow with its size.

A line ends with LF, CRLF or CR. Blanks around an address, empty lines and a byte order mark are no part of
it. Addresses are bytes: what they are encoded in is the file system's business.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from job_store.batch_shards import PlannedShard
from paddlewheel.errors import ManifestInvalid

MAX_ADDRESS: Final = 4096
"""Bytes; a longer line is no address, and the file probably no manifest."""

_BOM: Final = b"\xef\xbb\xbf"
_BLANKS: Final = b" \t\x0b\x0c"


@dataclass(frozen=True, kw_only=True, slots=True)
class ManifestLine:
    """One address, and where its line begins and its text ends in the manifest."""

    begin: int
    end: int
    address: bytes


def read_lines(chunks: Iterable[bytes], begin: int = 0) -> Iterator[ManifestLine]:
    """The lines of chunks that begin at byte `begin`. Raises ManifestInvalid for a line that is too long."""
    rest = b""
    for chunk in chunks:
        # A CRLF becomes an empty line more, which counts for nothing.
        *whole, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
        for text in whole:
            yield from _line(text, begin)
            begin += len(text) + 1
        if len(rest) > 2 * MAX_ADDRESS:
            raise _too_long(begin)
    yield from _line(rest, begin)


def plan_shards(chunks: Iterable[bytes], size: int) -> Iterator[PlannedShard]:
    """Shards of `size` lines, the last one of what is left."""
    yield from _shards(read_lines(chunks), size, 0)


def split_shard(shard: PlannedShard, lines: Sequence[ManifestLine], pieces: int) -> list[PlannedShard]:
    """The same lines as about `pieces` shards."""
    return list(_shards(iter(lines), -(-len(lines) // pieces), shard.first_line))


def digest_of(addresses: Iterable[bytes]) -> str:
    """SHA-256 (hex) of the addresses of a shard."""
    return hashlib.sha256(b"\n".join(addresses)).hexdigest()


def _shards(lines: Iterator[ManifestLine], size: int, first: int) -> Iterator[PlannedShard]:
    while group := list(islice(lines, size)):
        yield PlannedShard(
            first_line=first,
            lines=len(group),
            begin_byte=group[0].begin,
            end_byte=group[-1].end,
            digest=digest_of(line.address for line in group),
        )
        first += len(group)


def _line(text: bytes, begin: int) -> Iterator[ManifestLine]:
    address = text.removeprefix(_BOM).strip(_BLANKS)
    if len(address) > MAX_ADDRESS:
        raise _too_long(begin)
    if address:
        yield ManifestLine(begin=begin, end=begin + len(text), address=address)


def _too_long(begin: int) -> ManifestInvalid:
    return ManifestInvalid(
        f"The line at byte {begin} of the manifest has more than {MAX_ADDRESS} bytes: a manifest is a list "
        "of addresses, one a line."
    )
