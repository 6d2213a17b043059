"""Under root, the same commands as an account without rights."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from local.account import Account, as_account, unprivileged_account
from local.checkout import CHECKOUT
from local.state import StateFolder

PACKAGES = Path(sysconfig.get_path("purelib"))


@pytest.fixture
def account() -> Account:
    found = unprivileged_account()
    if found is None:
        pytest.skip("every other test runs as an ordinary user already")
    if not (found.reaches(PACKAGES) and found.reaches(CHECKOUT)):
        pytest.skip(f"{found.name} cannot reach the checkout")
    return found


@pytest.fixture
def interpreter(account: Account) -> str:
    """This interpreter, or the system's of the same version if ours is out of the account's reach."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for program in (sys.executable, shutil.which(version, path="/usr/bin:/usr/local/bin")):
        if program and account.reaches(Path(program).resolve().parent):
            return program
    pytest.skip(f"{account.name} cannot reach any {version}")


def test_an_ordinary_user_starts_and_stops_the_servers_in_a_folder_of_its_own(
    root: Path, account: Account, interpreter: str
) -> None:
    os.chown(root, account.uid, account.gid)

    def local(*arguments: str) -> str:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [interpreter, "-m", "local", arguments[0], "--root", str(root), *arguments[1:]],
            capture_output=True,
            text=True,
            check=False,
            cwd=CHECKOUT,
            env={
                "PATH": os.defpath,
                "PYTHONPATH": os.pathsep.join(map(str, (CHECKOUT / "api_client", PACKAGES))),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            timeout=120,
            **as_account(account),
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    local("up", "--only", "valkey,postgres")
    state = StateFolder(root).read()
    assert state.notes == []
    assert {name: status.phase for name, status in state.services.items()} == {
        "valkey": "ready",
        "postgres": "ready",
    }
    assert (root / ".paddlewheel/postgres/PG_VERSION").stat().st_uid == account.uid
    assert "Stopped" in local("down")
