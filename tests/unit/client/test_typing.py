"""What strict type checkers say of the documentation's samples, and of a service written from it."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from tests.data.sample_service import service_without_servers
from tests.samples import ROOT, find_samples

SERVICE: Final = ROOT / "tests" / "data" / "sample_service.py"
SOURCES: Final = (ROOT / "api_client", ROOT)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a caller has one: a file for each sample, and nothing of this project's settings."""
    folder = tmp_path_factory.mktemp("caller")
    for sample in find_samples():
        (folder / f"{sample.name}.py").write_text(sample.code, "utf-8")
    (folder / SERVICE.name).write_text(SERVICE.read_text("utf-8"), "utf-8")
    return folder


def run(command: Sequence[str | Path], folder: Path, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )
    return done.stdout + done.stderr


@pytest.mark.timeout(300)
def test_mypy_accepts_every_sample_without_a_plugin(written: Path) -> None:
    pytest.importorskip("mypy")
    command = (sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent")
    said = run((*command, "--cache-dir=.cache", "."), written, MYPYPATH=":".join(map(str, SOURCES)))
    assert said.startswith("Success: no issues found"), said


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", ["standard", "strict"])
def test_pyright_accepts_every_sample(written: Path, mode: str) -> None:
    pytest.importorskip("basedpyright")
    settings: dict[str, Any] = {
        "include": ["*.py"],
        "extraPaths": list(map(str, SOURCES)),
        "typeCheckingMode": mode,
        "pythonVersion": "3.11",
    }
    (written / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    command = (sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, "--outputjson")
    said = json.loads(run(command, written))
    faults = [
        f"{Path(each['file']).name}:{each['range']['start']['line'] + 1}: {each['message']}"
        for each in said["generalDiagnostics"]
    ]
    assert said["summary"]["filesAnalyzed"] == len(list(written.glob("*.py")))
    assert faults == []


def test_the_sample_service_answers() -> None:
    service, client = service_without_servers()
    assert service.read_page(b"x") == "hello"
    assert [(line.text, line.model) for line in service.read_lines([b"x", b"y"])] == [("m", "m")] * 2
    assert service.who_is_there(client.put(b"x")) == {"Ann Lee": 0.97}
    assert service.class_of(b"x") == (1, "cat")
