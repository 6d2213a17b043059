"""What the documentation's tables say: of errors, tasks and commands, all that there is."""

import re
from collections.abc import Iterator
from typing import Any, Final

import click

import paddlewheel
from paddlewheel.cli import main
from paddlewheel.contracts.base import TaskSpec
from paddlewheel.contracts.known_tasks import TASKS
from paddlewheel.errors import CallerError, OperatorError, PaddlewheelError
from tests.samples import ROOT

GUIDE: Final = ROOT / "docs" / "how-to" / "enqueue-from-python.md"
SPECS: dict[str, TaskSpec[Any, Any]] = {
    name: spec for name, spec in vars(paddlewheel).items() if isinstance(spec, TaskSpec)
}


def rows(root: type[PaddlewheelError]) -> Iterator[str]:
    meaning = (root.__doc__ or "").strip().splitlines()[0]
    yield f"| `{root.code}` | `{root.__name__}` | {meaning} |"
    for child in root.__subclasses__():
        yield from rows(child)


def test_the_table_of_errors_is_the_tree_of_errors() -> None:
    table = [row for row in GUIDE.read_text("utf-8").splitlines() if re.match(r"\| `[a-z_]+` \| `[A-Z]", row)]
    assert table == [*rows(CallerError), *rows(OperatorError)]


def test_the_commands_of_the_guide_exist_with_their_options() -> None:
    shown = re.findall(
        r"(?:^\$|\|) paddlewheel (.*?)(?: +#.*| > .*)?$", GUIDE.read_text("utf-8"), re.MULTILINE
    )
    assert len(shown) >= 8
    for line in shown:
        name, *words = line.split()
        command = main.commands[name]
        if isinstance(command, click.Group):
            command = command.commands[words[0]]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line


def test_every_task_and_its_options_are_listed() -> None:
    text = GUIDE.read_text("utf-8")
    by_image = [name for name, spec in SPECS.items() if "image" in spec.request.model_fields]
    assert {"READ_PAGES", "IDENTIFY_FACES", "CLASSIFY_IMAGE"} <= set(by_image)
    for name in by_image:
        spec = SPECS[name]
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{name}`")]
        listed = re.findall(r"`([a-z_]+)`", row.split("|")[4])
        assert listed == [field for field in spec.request.model_fields if field != "image"]
    for name, spec in SPECS.items():
        if "gallery" in spec.request.model_fields and name not in by_image:
            (row,) = [line for line in text.splitlines() if line.startswith(f"| `{name}`")]
            _, _, request, result, _ = row.split("|")
            assert re.findall(r"`(\w+)`", result)[0] == spec.result.__name__
            contract, *fields = re.findall(r"`(\w+)`", request)
            assert contract == spec.request.__name__
            assert set(fields) - {"LabelledImage"} <= set(spec.request.model_fields)


def test_the_page_for_other_producers_names_every_task_and_its_fields() -> None:
    page = (GUIDE.parent / "enqueue-from-another-language.md").read_text("utf-8")
    named = set(re.findall(r"`([a-z_.]+)`", page))
    for spec in TASKS:
        assert spec.name in named
        fields = set(spec.request.model_fields) - {"items"}
        assert fields <= named, spec.name
