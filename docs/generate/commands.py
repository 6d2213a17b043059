"""The page of the command line, from click's tree."""

import re
from collections.abc import Iterator
from typing import Any

import click

from docs.generate.markdown import code, wrap, write_page, write_table
from paddlewheel.cli import main
from paddlewheel.cli.exit_codes import EXIT_CODES, exit_code_help


def write_commands() -> str:
    """Every command with its usage, help and options."""
    return write_page(
        "Command line",
        wrap(
            "`paddlewheel` comes with the client. `models`, `dead`, `keys`, `batch` and `gallery"
            " maintenance` are operators' commands: they need the server's packages, so they run in"
            " its checkout or its image (`python -m paddlewheel` there). Results go to stdout, errors"
            " and progress to stderr. `--json` prints JSON and nothing else on stdout. An error is one"
            " line, `error[code]: message`, with and without `--json`."
        ),
        "## Exit codes",
        wrap("Every command ends with one of these codes; of several errors the highest code counts."),
        write_table(("exit code", "meaning"), [(str(int(each)), text) for each, text in EXIT_CODES.items()]),
        *(_section(path, command) for path, command in _walk("paddlewheel", main)),
    )


def _walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    command = _loaded(command)
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in sorted(command.commands):
        yield from _walk(f"{path} {name}", command.commands[name])


def _loaded(command: click.Command) -> click.Command:
    """An operators' command stands for a group that is imported when it is called."""
    load: Any = getattr(command, "load", None)
    return load() if load is not None else command


def _section(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    options = [
        (
            code(", ".join([*each.opts, *each.secondary_opts])),
            _default(each),
            (each.help or "").replace("\n", " "),
        )
        for each in command.params
        if isinstance(each, click.Option) and not each.hidden
    ]
    parts = [f"## {path}", f"```\n{usage}\n```", _help((command.help or "").replace(exit_code_help(), ""))]
    return "\n\n".join([*filter(None, parts), write_table(("option", "default", "meaning"), options)]).strip()


def _default(option: click.Option) -> str:
    if (
        option.is_flag
        or option.default is None
        or callable(option.default)
        or "UNSET" in repr(option.default)
    ):
        return ""
    return code(option.default)


def _help(text: str) -> str:
    """Help as Markdown: what click leaves unwrapped becomes a block of code."""
    parts = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        if paragraph.lstrip().startswith("\b"):
            lines = [line.strip() for line in paragraph.strip().split("\n")[1:]]
            parts.append(
                "```console\n" + "\n".join(line for line in lines if not line.startswith("Example")) + "\n```"
            )
        else:
            parts.append(wrap(paragraph))
    return "\n\n".join(parts)
