"""The account that the embedded server runs as.

PostgreSQL refuses to run as root, so root's server runs as an unprivileged account that the
machine already has; anybody else's runs as themselves.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.errors import UsageError

_UNPRIVILEGED = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """Who runs the server; `is_other` where that is not who runs the harness."""

    uid: int
    gid: int
    is_other: bool


def server_account() -> Account:
    """The account to run the server as; UsageError where root finds none."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), is_other=False)
    for name in _UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid, is_other=True)
    raise UsageError(
        "PostgreSQL does not run as root and there is no account postgres or nobody to run it "
        "as; run the harness as an ordinary user"
    )


def make_directory(path: Path, account: Account) -> None:
    """A private directory of the account."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    give(path, account)


def give(path: Path, account: Account) -> None:
    """Makes the account the owner of a file or directory that we made."""
    if account.is_other:
        os.chown(path, account.uid, account.gid)


def run(
    command: Sequence[str | Path],
    account: Account,
    directory: Path,
    more: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.CompletedProcess[str]:
    """Runs a program as the account and returns its exit code and all it printed.

    It gets no PG* variable of ours, which are for the user's own servers, but those in `more`.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    identity: dict[str, Any] = {}
    if account.is_other:
        identity = {"user": account.uid, "group": account.gid, "extra_groups": []}
    return subprocess.run(
        [str(part) for part in command],
        cwd=directory,
        env={**kept, "LC_ALL": "C", "TZ": "UTC", **more},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **identity,
    )


def complaint(output: str) -> str:
    """The line of a program's output that says what went wrong, or its last one."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    marked = [line for line in lines if "error:" in line or "FATAL:" in line]
    return (marked or lines or [""])[-1]
