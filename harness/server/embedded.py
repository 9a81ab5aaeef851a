"""The embedded PostgreSQL 17 of one checkout: made on first use, started and stopped on demand.

Every process that uses it shares a lock; the last one to leave stops it, unless `harness up`
said to keep it. A process that is killed frees its lock, so the next one to leave stops the
server; a server that is killed recovers from its log at the next start. It listens on a Unix
socket in a private directory and on nothing else.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import psutil
from psycopg.conninfo import make_conninfo

from harness.config import Roles, Settings
from harness.db import Target
from harness.errors import DatabaseError, UsageError
from harness.server import configuration, lock
from harness.server.account import Account, complaint, make_directory, run, server_account
from harness.server.binaries import installation
from harness.server.log import last_words

SUPERUSER = "postgres"
_LONGEST_SOCKET_DIR = 80  # a socket's path has at most 107 bytes, its name takes some of them


@dataclass(frozen=True, slots=True)
class Embedded:
    """Where the server of one checkout lives; nothing has to exist yet."""

    home: Path
    account: Account
    programs: Path

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """What the server logs."""
        return self.home / "server.log"

    @property
    def socket_dir(self) -> Path:
        """The directory of its socket, which only its account can enter."""
        inside = self.home / "socket"
        if len(os.fsencode(inside)) <= _LONGEST_SOCKET_DIR:
            return inside
        mark = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"harness-{self.account.uid}-{mark}"

    def conninfo(self, database: str, role: str = SUPERUSER) -> str:
        """A DSN for the database as the role."""
        return make_conninfo(host=str(self.socket_dir), port=5432, user=role, dbname=database)

    def target(self, database: str, roles: Roles) -> Target:
        """The database in its three capacities."""
        return Target(
            admin=self.conninfo(database),
            app=self.conninfo(database, roles.app),
            loader=self.conninfo(database, roles.loader),
        )


def embedded(settings: Settings, checkout: Path | None = None) -> Embedded:
    """The embedded server of a checkout, by default of the current directory's project."""
    account = server_account()
    state = settings.state_dir or _default_state_dir(account)
    root = (checkout or _project_root()).resolve()
    mark = hashlib.sha256(os.fsencode(root)).hexdigest()[:10]
    try:
        state.mkdir(parents=True, exist_ok=True)
        home = state.resolve() / mark
        make_directory(home, account)
        programs = installation(account, state.resolve())
    except OSError as error:
        raise UsageError(
            f"{state}: the embedded server cannot keep its data there: {error.strerror}; "
            "name another place with HARNESS_STATE_DIR"
        ) from None
    return Embedded(home, account, programs)


@contextmanager
def running(server: Embedded) -> Iterator[Embedded]:
    """The server, running for as long as the block takes."""
    with lock.exclusive(server.home / "start.lock"):
        users = lock.share(server.home / "users.lock")
        try:
            start(server)
        except BaseException:
            os.close(users)
            raise
    try:
        yield server
    finally:
        with lock.exclusive(server.home / "start.lock"):
            if lock.is_last(users) and not _keep_mark(server).exists():
                stop(server)
            os.close(users)


def keep(server: Embedded) -> None:
    """Lets the server run on when nobody uses it any more."""
    _keep_mark(server).touch()


def stop_keeping(server: Embedded) -> None:
    """Stops a kept server, whoever uses it."""
    with lock.exclusive(server.home / "start.lock"):
        _keep_mark(server).unlink(missing_ok=True)
        stop(server)


def is_running(server: Embedded) -> bool:
    """Whether its postmaster is alive.

    A killed one may stay a zombie, where the first process of a container does not reap, and
    pg_ctl would take it for alive.
    """
    try:
        pid = int(_pid_file(server).read_text(encoding="ascii").split()[0])
        postmaster = psutil.Process(pid)
        return postmaster.name() == "postgres" and postmaster.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
        return False


def start(server: Embedded) -> None:
    """Makes the data directory if need be and starts the server, if it is not running."""
    if is_running(server):
        return
    if not server.data.is_dir():
        _initialize(server)
    make_directory(server.socket_dir, server.account)
    _write_configuration(server)
    _pid_file(server).unlink(missing_ok=True)  # of a dead postmaster, see is_running
    for _ in range(10):
        problem = _pg_ctl(server, "start", "--wait", "--timeout=120", f"--log={server.log}")
        # A server that was killed leaves processes that hold its memory for a moment.
        if problem is None or "pre-existing shared memory block" not in last_words(server.log):
            break
        time.sleep(0.5)
    if problem is not None:
        raise DatabaseError(
            f"the embedded server did not start: {last_words(server.log) or problem} "
            f"(its log: {server.log})"
        )


def stop(server: Embedded) -> None:
    """Stops the server cleanly, if it is running."""
    if is_running(server):
        problem = _pg_ctl(server, "stop", "--mode=fast", "--wait", "--timeout=120")
        if problem is not None and is_running(server):
            raise DatabaseError(f"the embedded server did not stop: {problem}")


def _initialize(server: Embedded) -> None:
    """Makes the data directory aside and renames it, so that half a one is never used."""
    for left_over in server.home.glob("initdb-*"):
        shutil.rmtree(left_over, ignore_errors=True)
    aside = Path(tempfile.mkdtemp(dir=server.home, prefix="initdb-"))
    make_directory(aside, server.account)
    command = [str(server.programs / "bin" / "initdb"), f"--pgdata={aside / 'data'}"]
    command += [f"--username={SUPERUSER}", "--auth=trust", "--encoding=UTF8", "--data-checksums"]
    command += ["--locale-provider=builtin", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]
    result = run(command, server.account, server.home)
    if result.returncode != 0:
        raise DatabaseError(f"initdb failed: {complaint(result.stdout)}")
    (aside / "data").rename(server.data)
    aside.rmdir()


def _write_configuration(server: Embedded) -> None:
    path = server.data / "postgresql.auto.conf"
    content = "# Written by the harness at every start.\n" + configuration.render(server.socket_dir)
    path.write_text(content, encoding="utf-8")


def _pg_ctl(server: Embedded, *arguments: str) -> str | None:
    """What pg_ctl complained of, or None when it succeeded."""
    command = [str(server.programs / "bin" / "pg_ctl"), f"--pgdata={server.data}", *arguments]
    result = run(command, server.account, server.home)
    return None if result.returncode == 0 else complaint(result.stdout) or "pg_ctl failed"


def _pid_file(server: Embedded) -> Path:
    return server.data / "postmaster.pid"


def _keep_mark(server: Embedded) -> Path:
    return server.home / "keep"


def _default_state_dir(account: Account) -> Path:
    """The user's state directory; for root one that the server's account can reach."""
    if account.is_other:
        return Path(platformdirs.site_state_dir("tenant-harness"))
    return Path(platformdirs.user_state_dir("tenant-harness"))


def _project_root() -> Path:
    here = Path.cwd()
    marks = ("harness.toml", "pyproject.toml", ".git")
    return next((d for d in (here, *here.parents) if any((d / m).exists() for m in marks)), here)
