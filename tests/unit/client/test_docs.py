"""What the documentation's tables say: of errors, tasks and commands, all that there is."""

import re
from collections.abc import Iterator
from typing import Any, Final

import click

import paddlewheel
from paddlewheel.cli import main
from paddlewheel.contracts.base import Many, TaskSpec
from paddlewheel.contracts.known_tasks import TASKS
from paddlewheel.errors import CallerError, OperatorError, PaddlewheelError
from tests.samples import ROOT

DOCS: Final = ROOT / "docs"
COMMANDS: Final = DOCS / "how-to" / "use-the-command-line.md"
SPECS: dict[str, TaskSpec[Any, Any]] = {
    name: spec for name, spec in vars(paddlewheel).items() if isinstance(spec, TaskSpec)
}


def rows(root: type[PaddlewheelError]) -> Iterator[str]:
    meaning = (root.__doc__ or "").strip().splitlines()[0]
    yield f"| `{root.code}` | `{root.__name__}` | {meaning} |"
    for child in root.__subclasses__():
        yield from rows(child)


def test_the_table_of_errors_is_the_tree_of_errors() -> None:
    page = (DOCS / "reference" / "errors.md").read_text("utf-8")
    table = [row for row in page.splitlines() if re.match(r"\| `[a-z_]+` \| `[A-Z]", row)]
    assert table == [*rows(CallerError), *rows(OperatorError)]


def test_the_commands_of_the_guide_exist_with_their_options() -> None:
    shown = re.findall(
        r"(?:^\$|\|) paddlewheel (.*?)(?: +#.*| > .*)?$", COMMANDS.read_text("utf-8"), re.MULTILINE
    )
    assert len(shown) >= 8
    for line in shown:
        name, *words = line.split()
        command = main.commands[name]
        if isinstance(command, click.Group):
            command = command.commands[words[0]]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line


def test_every_task_and_its_fields_are_listed() -> None:
    text = (DOCS / "reference" / "tasks.md").read_text("utf-8")
    single = {name: spec for name, spec in SPECS.items() if not issubclass(spec.request, Many)}
    assert {"READ_PAGES", "IDENTIFY_FACES", "CLASSIFY_IMAGE", "BUILD_GALLERY"} <= set(single)
    for name, spec in single.items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{name}`")]
        assert re.findall(r"`([\w.]+)`", row) == [
            name,
            spec.name,
            spec.queue,
            spec.request.__name__,
            spec.result.__name__,
        ]
        (section,) = re.findall(rf"^## {re.escape(spec.name)}\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL)
        assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(spec.request.model_fields)


def test_a_task_of_one_image_is_named_in_the_guide() -> None:
    guide = (DOCS / "how-to" / "enqueue-from-python.md").read_text("utf-8")
    for name, spec in SPECS.items():
        if "image" in spec.request.model_fields:
            assert f"`{name}`" in guide
            assert f"`{spec.result.__name__}`" in guide


def test_the_page_for_other_producers_names_every_task_and_its_fields() -> None:
    page = (DOCS / "how-to" / "enqueue-from-another-language.md").read_text("utf-8")
    named = set(re.findall(r"`([a-z_.]+)`", page))
    for spec in TASKS:
        assert spec.name in named
        fields = set(spec.request.model_fields) - {"items"}
        assert fields <= named, spec.name
