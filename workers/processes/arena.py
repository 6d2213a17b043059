"""Memory shared between the worker and a model process: anonymous, grown on demand, never leaked.

Measured: 8 tensors of 1 MB through a pipe cost 13 ms, through shared memory less than 1 ms. The memory has
no name, so that the kernel frees it with the last process that holds it, however that process ends.
"""

import contextlib
import mmap
import os
import tempfile
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

ALIGNMENT: Final = 64
_FIRST_SIZE: Final = 1 << 20


class Arena:
    """A growing block of memory behind a file descriptor that a child process inherits."""

    def __init__(self, fd: int | None = None) -> None:
        self.fd = _anonymous_file() if fd is None else fd
        self.size = os.fstat(self.fd).st_size or self._resize(_FIRST_SIZE)
        self._map = mmap.mmap(self.fd, self.size)

    def reserve(self, size: int) -> None:
        """Grow to at least `size` bytes. Views made before keep the old mapping until they are dropped."""
        if size > self.size:
            # Another process may have made it larger; shrinking it would take memory from under that one.
            self.attach(self._resize(max(size, 2 * self.size, os.fstat(self.fd).st_size)))

    def attach(self, size: int) -> None:
        """Map the memory again after the other side has grown it to `size` bytes."""
        if size > len(self._map):
            self._map = mmap.mmap(self.fd, size)
            self.size = size

    def view(self, offset: int, shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        """An array that lies in the memory."""
        kind = np.dtype(dtype)
        count = int(np.prod(shape, dtype=np.int64))
        return np.frombuffer(self._map, kind, count, offset).reshape(shape)

    def close(self) -> None:
        """Close the memory on this side; a view that is still held keeps its mapping alive."""
        os.close(self.fd)
        with contextlib.suppress(BufferError):
            self._map.close()

    def _resize(self, size: int) -> int:
        os.ftruncate(self.fd, size)
        return size


def align(offset: int) -> int:
    """The next offset at which an array may begin."""
    return -(-offset // ALIGNMENT) * ALIGNMENT


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("paddlewheel", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
