"""A progress bar on stderr, for people only: never into a pipe, never in the way of the results."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

Hidden = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, kw_only=True)
class ProgressBar:
    """`arrived(n)` moves it to n; within `hidden()` the terminal is free for results."""

    arrived: Callable[[int], object]
    hidden: Hidden


@contextmanager
def progress_bar(total: int) -> Iterator[ProgressBar]:
    """A bar for more than one image, where stderr is a terminal; else one that does nothing."""
    if total < 2 or not sys.stderr.isatty():
        yield ProgressBar(arrived=lambda _: None, hidden=nullcontext)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("images"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("images", total=total)

        @contextmanager
        def hidden() -> Iterator[None]:
            bar.stop()
            yield
            bar.start()

        yield ProgressBar(arrived=lambda done: bar.update(task, completed=done), hidden=hidden)
