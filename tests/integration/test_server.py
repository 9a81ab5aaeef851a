"""The embedded server: shared, kept, recovered after a kill, and gone when nobody needs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from harness.config import Settings
from harness.errors import DatabaseError, UsageError
from harness.server import database
from harness.server.claim import claimed_database
from harness.server.doctor import examine
from harness.server.embedded import (
    Embedded,
    embedded,
    is_running,
    keep,
    running,
    stop,
    stop_keeping,
)
from harness.server.examined import Answer


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Iterator[Embedded]:
    """A server of the test's own, in a checkout whose path has a space."""
    server = embedded(settings, checkout=tmp_path / "a checkout")
    yield server
    stop(server)


def _postmaster(server: Embedded) -> int:
    return int((server.data / "postmaster.pid").read_text().splitlines()[0])


def _answers(server: Embedded) -> bool:
    with psycopg.connect(server.conninfo("postgres")) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


def test_it_runs_for_as_long_as_it_is_used(own: Embedded) -> None:
    with running(own):
        assert _answers(own)
        with running(own):
            assert _answers(own)
        assert _answers(own), "the inner user left, the outer one did not"
    assert not is_running(own)


def test_what_is_kept_runs_on_until_it_is_stopped(own: Embedded) -> None:
    with running(own):
        keep(own)
    assert _answers(own)
    stop_keeping(own)
    assert not is_running(own)


def test_it_listens_on_a_private_socket_and_on_nothing_else(own: Embedded) -> None:
    with running(own):
        assert own.socket_dir.stat().st_mode & 0o077 == 0
        listening = [c.laddr for c in psutil.Process(_postmaster(own)).net_connections("inet")]
        assert listening == []


def test_a_killed_server_recovers_with_what_was_committed(own: Embedded) -> None:
    with running(own):
        with psycopg.connect(own.conninfo("postgres")) as connection:
            connection.execute("CREATE TABLE kept (n integer)")
            connection.execute("INSERT INTO kept VALUES (1)")
        os.kill(_postmaster(own), signal.SIGKILL)
    with running(own), psycopg.connect(own.conninfo("postgres")) as connection:
        assert connection.execute("SELECT n FROM kept").fetchall() == [(1,)]


def test_a_killed_user_leaves_a_server_that_the_next_one_stops(
    own: Embedded, tmp_path: Path
) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from harness.config import load; from harness.server.embedded import embedded, running\n"
        "with running(embedded(load(), checkout=Path(sys.argv[1]))):\n"
        "    print('up', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a checkout")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as user:
        assert user.stdout
        assert user.stdout.readline() == b"up\n"
        user.kill()
    assert _answers(own)
    with running(own):
        pass
    assert not is_running(own)


def test_two_that_start_it_at_once_share_it(own: Embedded, tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from harness.config import load; from harness.server.embedded import embedded, running\n"
        "with running(embedded(load(), checkout=Path(sys.argv[1]))) as server:\n"
        "    print((server.data / 'postmaster.pid').read_text().split()[0]); time.sleep(1)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a checkout")]
    users = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = [user.communicate(timeout=60)[0] for user in users]
    assert len(set(answers)) == 1
    assert [user.returncode for user in users] == [0, 0, 0]
    assert not is_running(own)


def test_half_an_initialization_is_thrown_away(own: Embedded) -> None:
    (own.home / "initdb-killed" / "data").mkdir(parents=True)
    with running(own):
        assert _answers(own)
    assert not (own.home / "initdb-killed").exists()


def test_a_server_that_cannot_start_says_why(own: Embedded) -> None:
    with running(own):
        pass
    (own.data / "postgresql.conf").write_text("no_such_setting = 1\n")
    with (
        pytest.raises(DatabaseError, match=r"did not start: configuration file .* contains errors"),
        running(own),
    ):
        pass


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, settings: Settings) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    unusable = settings.model_copy(update={"state_dir": blocked / "below"})
    with pytest.raises(UsageError, match="HARNESS_STATE_DIR"):
        embedded(unusable, checkout=tmp_path)


def test_a_second_run_gets_a_database_of_its_own(settings: Settings) -> None:
    with claimed_database(settings) as first, claimed_database(settings) as second:
        assert (first.database, second.database) == ("harness", "harness_2")
    with claimed_database(settings) as again:
        assert again.database == "harness"


def test_a_database_is_made_once(own: Embedded) -> None:
    with running(own):
        maintenance = own.conninfo("postgres")
        database.ensure(maintenance, "it")
        database.ensure(maintenance, "it")
        database.drop(maintenance, "it")
        with psycopg.connect(maintenance) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_database WHERE datname = 'it'"
            ).fetchone()
    assert row == (0,)


def test_what_an_interrupted_drop_left_is_made_anew(own: Embedded) -> None:
    with running(own):
        maintenance = own.conninfo("postgres")
        database.ensure(maintenance, "it")
        with psycopg.connect(maintenance) as connection:
            connection.execute("UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'it'")
        with pytest.raises(psycopg.OperationalError, match="invalid database"):
            psycopg.connect(own.conninfo("it"))
        database.ensure(maintenance, "it")
        with psycopg.connect(own.conninfo("it")) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_the_doctor_finds_the_embedded_server_fit(own: Embedded, settings: Settings) -> None:
    with running(own):
        answers = examine(own.target("postgres", settings.roles), settings, external=False)
    assert {a.answer for a in answers if not a.question.startswith("role ")} == {Answer.GOOD}


def test_the_doctor_names_an_application_role_that_bypasses_row_security(
    own: Embedded, settings: Settings
) -> None:
    with running(own):
        with psycopg.connect(own.conninfo("postgres")) as connection:
            connection.execute("CREATE ROLE app_user SUPERUSER")
        answers = examine(own.target("postgres", settings.roles), settings, external=False)
    bad = [a for a in answers if a.answer is Answer.BAD]
    assert [a.question for a in bad] == ["role app_user"]
    assert "NOBYPASSRLS" in bad[0].detail


def test_nothing_is_waited_for_after_a_fast_stop(own: Embedded) -> None:
    with running(own):
        pid = _postmaster(own)
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not psutil.pid_exists(pid)
