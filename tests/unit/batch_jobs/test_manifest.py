"""Manifests as streams: lines, shards, and what is no manifest."""

import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddlewheel.errors import ManifestInvalid
from workers.batch_jobs.manifest import MAX_ADDRESS, digest_of, plan_shards, read_lines, split_shard

ADDRESSES = st.text(
    st.characters(exclude_characters="\r\n", exclude_categories=("Cs", "Zs", "Cc")), min_size=1, max_size=30
).map(lambda text: text.replace("\ufeff", "x").encode())
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n", b" \t\n", b"\r\n  \r\n"])
MANIFESTS = st.lists(st.tuples(ADDRESSES, ENDS), max_size=40)


def chunked(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


@given(MANIFESTS, st.integers(1, 50), st.booleans())
def test_every_address_is_read_once_in_order_however_lines_end_and_chunks_fall(
    lines: list[tuple[bytes, bytes]], size: int, bom: bool
) -> None:
    data = (b"\xef\xbb\xbf" if bom else b"") + b"".join(address + end for address, end in lines)
    found = list(read_lines(chunked(data, size)))
    assert [line.address for line in found] == [address for address, _ in lines]
    assert all(line.address in data[line.begin : line.end] for line in found)


@given(MANIFESTS, st.integers(1, 7), st.integers(1, 50))
def test_shards_hold_every_line_once_and_are_found_again_by_their_bytes(
    lines: list[tuple[bytes, bytes]], size: int, chunk: int
) -> None:
    data = b"".join(address + end for address, end in lines)
    shards = list(plan_shards(chunked(data, chunk), size))
    again = [list(read_lines([data[each.begin_byte : each.end_byte]])) for each in shards]
    assert [line.address for each in again for line in each] == [address for address, _ in lines]
    for shard, group in zip(shards, again, strict=True):
        assert shard.lines == len(group) <= size
        assert shard.digest == digest_of(line.address for line in group)
    assert [each.first_line for each in shards] == list(range(0, len(lines), size))


def test_the_pieces_of_a_shard_are_its_lines() -> None:
    data = b"head\n" + b"".join(b"image %d\n" % number for number in range(25))
    _, shard = plan_shards([data], 1), None
    shard = next(each for each in plan_shards([data], 26))
    lines = list(read_lines([data]))
    pieces = split_shard(shard, lines, 10)
    assert [(each.first_line, each.lines) for each in pieces] == [(n, 3) for n in range(0, 24, 3)] + [(24, 2)]
    assert b"".join(data[each.begin_byte : each.end_byte] + b"\n" for each in pieces) == data


def test_an_address_keeps_its_commas_blanks_and_bytes_that_are_no_text() -> None:
    data = b"  a, {b}.png \t\n\xff\xfe.png\nno end"
    assert [line.address for line in read_lines([data])] == [b"a, {b}.png", b"\xff\xfe.png", b"no end"]


@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_that_is_too_long_is_refused_before_it_fills_the_memory(end: bytes) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(1000):
            yield b"x" * 1000
        raise AssertionError("all of it was read")

    with pytest.raises(ManifestInvalid, match="at byte 2 "):
        list(read_lines([b"a\n" + b"x" * (MAX_ADDRESS + 1) + end]))
    with pytest.raises(ManifestInvalid, match="at byte 0 "):
        list(read_lines(endless()))


def test_a_long_manifest_takes_no_more_memory_than_a_short_one() -> None:
    def chunks(lines: int) -> Iterator[bytes]:
        for start in range(0, lines, 1000):
            yield b"".join(
                b"oss://bucket/images/%09d.jpg\n" % number for number in range(start, start + 1000)
            )

    def peak(lines: int) -> int:
        tracemalloc.start()
        assert sum(shard.lines for shard in plan_shards(chunks(lines), 100)) == lines
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(40_000) < 1.5 * peak(2000)
