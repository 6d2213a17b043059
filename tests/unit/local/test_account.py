import os
from pathlib import Path

import pytest

from local.account import Account, as_account, unprivileged_account

STRANGER = Account(name="stranger", uid=54_321, gid=54_321)


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder that everybody reaches from `tmp_path` on; what lies above is not asked about."""
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    for each in (tmp_path, tmp_path / "a", folder):
        each.chmod(0o755)
    return folder


def reaches_from(top: Path, account: Account, path: Path) -> bool:
    return account.reaches(path) == (account.reaches(top) and path_is_open(top, path))


def path_is_open(top: Path, path: Path) -> bool:
    between = [path, *[parent for parent in path.parents if parent.is_relative_to(top)]]
    return all(each.stat().st_mode & 0o001 for each in between)


def test_an_account_reaches_the_root_of_the_file_system() -> None:
    assert STRANGER.reaches(Path("/"))


def test_one_closed_parent_keeps_an_account_out(open_folder: Path) -> None:
    open_folder.parent.chmod(0o700)
    assert not STRANGER.reaches(open_folder)


def test_an_owner_and_a_group_are_asked_by_their_own_rights(open_folder: Path) -> None:
    found = open_folder.stat()
    owner = Account(name="owner", uid=found.st_uid, gid=1)
    mate = Account(name="mate", uid=54_321, gid=found.st_gid)
    open_folder.chmod(0o710)
    assert owner.reaches(open_folder)
    assert mate.reaches(open_folder) == mate.reaches(open_folder.parent)
    assert not STRANGER.reaches(open_folder)
    open_folder.chmod(0o607)
    assert not owner.reaches(open_folder)
    assert not mate.reaches(open_folder)


def test_a_file_is_read_by_whom_its_mode_lets(open_folder: Path) -> None:
    file = open_folder / "file"
    file.write_text("x")
    file.chmod(0o600)
    assert not STRANGER.reads(file)
    owner = Account(name="owner", uid=file.stat().st_uid, gid=1)
    assert owner.reads(file)


def test_only_root_drops_its_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert unprivileged_account() is None
    assert as_account(None) == {}
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    account = unprivileged_account()
    assert account is not None
    assert account.uid != 0
    assert as_account(account) == {"user": account.uid, "group": account.gid, "extra_groups": []}
