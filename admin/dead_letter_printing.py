"""Dead letters as text for a terminal."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from job_store.dead_letter import DeadLetter, DeadLetterRecord

_WIDEST: Final = 10_000
_COLUMNS: Final = ("number", "last (UTC)", "task", "error", "times", "state", "task id")


def print_table(letters: Sequence[DeadLetterRecord] | Sequence[DeadLetter]) -> None:
    """Print a table with one line for each letter."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*_COLUMNS, box=SIMPLE_HEAD, pad_edge=False)
    for letter in letters:
        # Any client may name a task: rich must not read the name as its own markup.
        table.add_row(*(Text(cell, overflow="fold") for cell in _cells(letter)))
    # In a file or a pipe nothing is cut: the table is as wide as its text.
    Console(width=None if sys.stdout.isatty() else _WIDEST).print(table)


def to_text(letter: DeadLetterRecord) -> str:
    """Everything about one letter, as lines."""
    lines = [
        f"dead letter {letter.number}  {letter.state}",
        f"  task      {letter.name} on {letter.queue}, {letter.occurrences} times, last {letter.task_id}",
        f"  error     [{letter.error_code}] {letter.error_message}",
        f"  first     {_time(letter.created_at)} UTC, last {_time(letter.last_at)} UTC",
    ]
    if letter.replayed_at:
        lines.append(f"  replayed  {_time(letter.replayed_at)} UTC as task {letter.replay_task_id}")
    if letter.discarded_at:
        lines.append(f"  discarded {_time(letter.discarded_at)} UTC")
    lines += [f"  request   {json.dumps(letter.request, ensure_ascii=False)}", "  deliveries"]
    lines += [
        f"    {_time(each.at)}  {each.worker}  {each.reason}  {each.task_id}" for each in letter.history
    ]
    return "\n".join(lines)


def _cells(letter: DeadLetterRecord | DeadLetter) -> tuple[str, ...]:
    task = (letter.name, letter.error_code)
    if isinstance(letter, DeadLetter):
        return "-", _time(letter.created_at), *task, "1", "waiting", letter.task_id
    times = str(letter.occurrences)
    return str(letter.number), _time(letter.last_at), *task, times, letter.state, letter.task_id


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
