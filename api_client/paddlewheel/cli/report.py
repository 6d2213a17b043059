"""Writes what a run answers: text, JSON lines or a table on stdout, files of results, errors on stderr."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import click

from paddlewheel.cli.console import print_json, show_error
from paddlewheel.cli.exit_codes import ExitCode, exit_code
from paddlewheel.cli.result_text import empty_text, result_lines, result_rows
from paddlewheel.cli.run import InputResult
from paddlewheel.contracts.results import Result, Served
from paddlewheel.contracts.text import ReadDocument
from paddlewheel.errors import PaddlewheelError

if TYPE_CHECKING:
    from rich.table import Table

Form: TypeAlias = Literal["text", "json", "table"]
Answer: TypeAlias = ReadDocument | Result

_WIDEST = 10_000
_TIMINGS = ("queue ms", "batch wait ms", "batch size", "model ms", "total ms")


@dataclass(kw_only=True)
class Report:
    """Takes one outcome after the other. With `named` each text has the name of its image before it.

    `exit_code` is the highest code of the errors that it has shown.
    """

    form: Form
    timings: bool
    named: bool
    json_folder: Path | None
    picture_folder: Path | None
    exit_code: ExitCode = ExitCode.DONE
    _rows: list[Sequence[str]] = field(default_factory=list)

    def show(self, outcome: InputResult[Answer]) -> None:
        """Print and save one image's answer, or its error."""
        name = outcome.input.name
        if outcome.error is not None:
            self._fail(name, outcome.error)
        elif outcome.result is not None:
            self._print(name, outcome.result)
            try:
                self._save(outcome.result, outcome.input.folder)
            except PaddlewheelError as err:
                self._fail(name, err)
            except OSError as err:
                self._show_failure(name, "not_saved", str(err), ExitCode.FAILED)

    def finish(self) -> None:
        """Print what could not be printed line by line."""
        if self.form == "table" and self._rows:
            from rich.console import Console

            # Into a file or a pipe nothing is cut: a table is as wide as it has to be.
            Console(width=None if sys.stdout.isatty() else _WIDEST).print(self._table())

    def _fail(self, name: str, error: PaddlewheelError) -> None:
        self._show_failure(name, error.code, error.message, exit_code(error))

    def _show_failure(self, name: str, code: str, message: str, ends_with: ExitCode) -> None:
        self.exit_code = max(self.exit_code, ends_with)
        show_error(code, f"{name}: {message}")

    def _print(self, name: str, result: Answer) -> None:
        if self.form == "json":
            for part in _parts(result):
                print_json(part.json)
        elif self.form == "table":
            for part in _parts(result):
                self._rows += _rows(_title(name, part, result), part, timings=self.timings)
        elif not isinstance(result, ReadDocument):
            for line in result_lines(result):
                click.echo(f"{name}\t{line}" if self.named else line)
        else:
            for page in result.pages:
                if self.named or len(result.pages) > 1:
                    click.echo(f"==> {_title(name, page, result)} <==")
                click.echo(page.text)

    def _save(self, result: Answer, folder: Path) -> None:
        if self.json_folder is not None:
            result.save_to_json(self.json_folder / folder)
        if self.picture_folder is not None:
            result.save_to_img(self.picture_folder / folder)

    def _table(self) -> "Table":
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        table = Table("image", "text", box=SIMPLE_HEAD, pad_edge=False)
        for heading in ("score", *(_TIMINGS if self.timings else ())):
            table.add_column(heading, justify="right")
        for row in self._rows:
            # Texts of images are anything: rich must not read them as its own markup.
            table.add_row(*(Text(cell, overflow="fold") for cell in row))
        return table


def _parts(result: Answer) -> tuple[Result, ...]:
    return result.pages if isinstance(result, ReadDocument) else (result,)


def _title(name: str, part: Result, result: Answer) -> str:
    if part.page_index is None:
        return name
    count = f" of {result.page_count}" if isinstance(result, ReadDocument) else ""
    return f"{name}, page {part.page_index + 1}{count}"


def _rows(title: str, part: Result, *, timings: bool) -> list[Sequence[str]]:
    """A row for each thing that was found; a part's times stand in its first row."""
    lines = result_rows(part)
    times = _times(part.served) if timings else ()
    rows: list[Sequence[str]] = [(title, empty_text(part), "", *times)] if not lines else []
    for index, (text, score) in enumerate(lines):
        own = (title, times) if index == 0 else ("", ("",) * len(times))
        rows.append((own[0], text, f"{score:.3f}", *own[1]))
    return rows


def _times(served: Served) -> tuple[str, ...]:
    if not served.known:
        return ("",) * len(_TIMINGS)
    queue = "" if served.queue_ms is None else f"{served.queue_ms:.1f}"
    spans = (f"{served.batch_wait_ms:.1f}", str(served.batch_size))
    return queue, *spans, f"{served.model_ms:.1f}", f"{served.total_ms:.1f}"
