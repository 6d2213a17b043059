"""Code and documentation are written in plain English, with one name for one thing.

Checked are the names, comments, docstrings and strings of every tracked Python file and the text of
every tracked Markdown file. CONTRIBUTING.md says what to write instead of each banned idiom.
"""

import ast
import io
import re
import subprocess
import textwrap
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PRODUCT_PACKAGES = (
    "api_client",
    "workers",
    "tasks",
    "gateway",
    "index_store",
    "job_store",
    "database",
    "admin",
    "local",
)

BANNED_IDIOMS = re.compile(
    r"\b(told|anew|(goes|going|gone|go|went)\s+on\s+with|goes\s+on|for\s+ever"
    r"|(is|are)\s+no\s+more(?!\s+than)|left\s+away|taken\s+for)\b",
    re.IGNORECASE,
)
BANNED_OPENINGS = re.compile(r"\b(?P<opening>Whoever|Who|What is)\s[^.?!]*(?P<end>[.?!]|$)")
BANNED_TEST_OPENINGS = re.compile(r"^(whoever|who|what is)\b")

DIALECT_CLASSES = """
Asker Asking Bar BatchFigures BatchKeeper Collected Conductor CountedDeliveries DeadLetters Desk
EngineFigures FigureBook FiledLetter GalleryFigures GalleryKeeper ImageIntake IndexBook JobDesk
KeptChoices LentBlobs LetterBox LetterFiling MetricsDoor NoBatchJobs Question Rates Readers
Restarts ServerFigures SpokenErrors Starting StoredGalleries Turns Unwanted Watched
"""
BANNED_CLASS_NAMES = frozenset(DIALECT_CLASSES.split())
BANNED_FUNCTION_NAMES = frozenset({"told", "asked", "chosen", "opened", "spoken"})


def test_no_file_uses_a_banned_idiom_or_name() -> None:
    findings = [each for path in tracked_files() for each in findings_in(path)]
    assert not findings, "\n" + "\n".join(findings)


def test_no_class_name_means_two_things() -> None:
    places = defaultdict(list)
    for path in tracked_files():
        if path.suffix == ".py" and path.parts[0] in PRODUCT_PACKAGES:
            for node in ast.walk(ast.parse((REPOSITORY / path).read_bytes())):
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(f"{path}:{node.lineno}")
    repeated = {name: found for name, found in places.items() if len(found) > 1}
    assert not repeated


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The caller is told.", ["told"]),
        ("A run goes on\nwith the rest, for\never.", ["goes on with", "for ever"]),
        ("There are no more than two. The file is no more.", ["is no more"]),
        ("Who has no key waits. Whoever asks, asks again.", ["Who ...", "Whoever ..."]),
        ("Who reads this? What is a batch?\n\nWhat is left is deleted.", ["What is ..."]),
        ("The folder of those who have no key.", []),
    ],
)
def test_idioms_and_openings_are_found_and_questions_are_not(text: str, found: list[str]) -> None:
    assert [words for _, words in findings_in_prose(text, 1)] == found


def test_names_comments_and_strings_are_read_with_their_lines() -> None:
    source = """
    def test_who_is_told() -> None:
        # The worker goes
        # on.
        print(f"starts {1} anew")

    def chosen(x): ...
    class JobDesk: ...
    """
    assert sorted(findings_in_python(textwrap.dedent(source))) == [
        (2, "test_who_is_told"),
        (3, "goes on"),
        (5, "anew"),
        (7, "def chosen"),
        (8, "class JobDesk"),
    ]


def tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.md"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    own = Path(__file__).relative_to(REPOSITORY)
    return [Path(line) for line in listed.stdout.splitlines() if Path(line) != own]


def findings_in(path: Path) -> Iterator[str]:
    text = (REPOSITORY / path).read_text()
    found = findings_in_prose(text, 1) if path.suffix == ".md" else findings_in_python(text)
    for line, words in sorted(set(found)):
        yield f"{path}:{line}: {words}"


def findings_in_python(source: str) -> Iterator[tuple[int, str]]:
    tree = ast.parse(source)
    for line, name in names(tree):
        yield from findings_in_name(line, name)
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef() if node.name in BANNED_CLASS_NAMES:
                yield node.lineno, f"class {node.name}"
            case ast.FunctionDef() | ast.AsyncFunctionDef() if node.name in BANNED_FUNCTION_NAMES:
                yield node.lineno, f"def {node.name}"
    for line, text in [*strings(tree), *comments(source)]:
        yield from findings_in_prose(text, line)


def findings_in_name(line: int, name: str) -> Iterator[tuple[int, str]]:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", name).strip().removeprefix("test ")
    if BANNED_IDIOMS.search(words) or (BANNED_TEST_OPENINGS.search(words) and name.startswith("test_")):
        yield line, name


def findings_in_prose(text: str, first_line: int) -> Iterator[tuple[int, str]]:
    for match in BANNED_IDIOMS.finditer(text):
        yield first_line + text[: match.start()].count("\n"), " ".join(match[0].split())
    for match in BANNED_OPENINGS.finditer(text):
        if match["end"] != "?":
            yield first_line + text[: match.start()].count("\n"), f"{match['opening']} ..."


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name():
                yield node.lineno, node.id
            case ast.Attribute():
                yield node.lineno, node.attr


def strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """String literals with their first lines; what an f-string computes is shown as {}."""
    for child in ast.iter_child_nodes(tree):
        match child:
            case ast.Constant(value=str(text)):
                yield child.lineno, text
            case ast.JoinedStr():
                parts = child.values
                yield (
                    child.lineno,
                    "".join(str(p.value) if isinstance(p, ast.Constant) else "{}" for p in parts),
                )
            case _:
                yield from strings(child)


def comments(source: str) -> Iterator[tuple[int, str]]:
    """Comments with their first lines; a comment of several lines is one text."""
    block: list[str] = []
    block_start = last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        line = token.start[0]
        if line != last + 1:
            if block:
                yield block_start, "\n".join(block)
            block, block_start = [], line
        block.append(token.string.lstrip("#! "))
        last = line
    if block:
        yield block_start, "\n".join(block)
