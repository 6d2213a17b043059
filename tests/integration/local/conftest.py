"""Roots for real stacks, which are stopped and removed whatever a test did to them."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import control
from local.postgres import remove_home
from local.state import StateFolder


@pytest.fixture
def root() -> Iterator[Path]:
    yield from _root()


@pytest.fixture
def other_root() -> Iterator[Path]:
    yield from _root()


def _root() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="paddlewheel-"))
    yield made
    control.stop(StateFolder(made))
    remove_home(StateFolder(made).path)
    shutil.rmtree(made)
