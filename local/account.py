"""The account that a server runs as. Postgres refuses root, so root drops to an unprivileged account."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddlewheel.errors import ConfigurationError

CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True, kw_only=True)
class Account:
    name: str
    uid: int
    gid: int

    def reaches(self, path: Path) -> bool:
        """Whether every folder from the root of the file system to `path` lets the account through."""
        return all(self._may(folder, stat.S_IXUSR) for folder in (path, *path.parents))

    def reads(self, path: Path) -> bool:
        return self.reaches(path.parent) and self._may(path, stat.S_IRUSR)

    def _may(self, path: Path, right: int) -> bool:
        found = path.stat()
        if found.st_uid == self.uid:
            return bool(found.st_mode & right)
        if found.st_gid == self.gid:
            return bool(found.st_mode & right >> 3)
        return bool(found.st_mode & right >> 6)


def unprivileged_account() -> Account | None:
    """The account to drop to; None for an ordinary user."""
    if os.geteuid() != 0:
        return None
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise ConfigurationError(
        "Postgres does not run as root, and there is no account to drop to "
        f"({' or '.join(CANDIDATES)}): create one, or start as an ordinary user."
    )


def as_account(account: Account | None) -> dict[str, Any]:
    """The `subprocess` arguments that drop to the account and leave all our groups."""
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}
