"""FAISS with one thread: more of them spin on a busy machine."""

import pytest

from index_store.indexes import use_threads


@pytest.fixture(autouse=True)
def one_thread() -> None:
    use_threads(1)
