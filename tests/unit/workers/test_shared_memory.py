"""Shared memory and frames, within one process."""

import os
import socket
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.inference.layout import read_ids, write_batch, write_outputs
from workers.processes.arena import Arena, align
from workers.processes.frames import MAX_FRAME, BrokenFrameError, receive_frame, send_frame


@settings(deadline=None, max_examples=50)
@given(
    count=st.integers(1, 12),
    shape=st.tuples(st.integers(1, 7), st.integers(1, 400), st.integers(1, 60)),
    number=st.integers(1, 2**40),
)
def test_a_batch_is_read_as_it_was_written(count: int, shape: tuple[int, ...], number: int) -> None:
    ours = Arena()
    theirs = Arena(os.dup(ours.fd))
    random = np.random.default_rng(number)
    tensors = [random.random(shape, dtype=np.float32) for _ in range(count)]
    scales = [random.random(2) for _ in range(count)]
    ids = [int(each) for each in random.integers(0, 2**50, count)]
    places = write_batch(ours, number, ids, list(zip(tensors, scales, strict=True)))
    theirs.attach(ours.size)
    assert read_ids(theirs, number, count) == ids
    assert read_ids(theirs, number + 1, count) is None
    for place, column in zip(places, (np.stack(tensors), np.stack(scales)), strict=True):
        np.testing.assert_array_equal(theirs.view(place.offset, place.shape, place.dtype), column)
    outputs = (np.stack(tensors) * 2, np.arange(count))
    places = write_outputs(theirs, number, ids, outputs)
    ours.attach(theirs.size)
    for each, output in zip(places, outputs, strict=True):
        np.testing.assert_array_equal(ours.view(each.offset, each.shape, each.dtype), output)
    ours.close()
    theirs.close()


def test_memory_grows_and_old_views_stay_valid() -> None:
    arena = Arena()
    view = arena.view(0, (4,), np.int64)
    view[:] = 7
    arena.reserve(5 * arena.size)
    assert view.tolist() == [7] * 4
    assert arena.view(0, (4,), np.int64).tolist() == [7] * 4
    arena.close()


def test_memory_has_no_name_in_the_file_system() -> None:
    arena = Arena()
    assert os.fstat(arena.fd).st_nlink == 0
    arena.close()


def test_offsets_are_aligned() -> None:
    assert [align(offset) for offset in (0, 1, 64, 65)] == [0, 64, 64, 128]


def test_frames_arrive_whole_and_in_order() -> None:
    one, two = socket.socketpair()
    with one, two:
        for number in range(3):
            send_frame(one, {"n": number, "text": "线" * 100})
        assert [receive_frame(two)["n"] for _ in range(3)] == [0, 1, 2]
        one.close()
        with pytest.raises(EOFError):
            receive_frame(two)


@pytest.mark.parametrize(
    "junk", [struct.pack("!I", MAX_FRAME + 1), struct.pack("!I", 3) + b"{x}", struct.pack("!I", 2) + b"[]"]
)
def test_garbage_on_the_line_is_noticed(junk: bytes) -> None:
    one, two = socket.socketpair()
    with one, two:
        one.sendall(junk)
        with pytest.raises(BrokenFrameError):
            receive_frame(two)
