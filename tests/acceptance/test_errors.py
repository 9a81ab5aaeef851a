"""What goes wrong is told in one line, with the right exit code, and without a secret."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.conftest import Harness

NOWHERE = "host=127.0.0.1 port=1 dbname=x user=u password=hunter2 connect_timeout=2"


@contextmanager
def old_server(version: str) -> Iterator[int]:
    """Speaks just enough of the protocol to say that it is an older PostgreSQL."""

    def message(kind: bytes, body: bytes) -> bytes:
        return kind + struct.pack("!i", len(body) + 4) + body

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                while struct.unpack("!ii", client.recv(4096)[:8])[1] in (80877103, 80877104):
                    client.sendall(b"N")  # neither TLS nor GSSAPI
                client.sendall(
                    message(b"R", struct.pack("!i", 0))
                    + message(b"S", b"server_version\0" + version.encode() + b"\0")
                    + message(b"S", b"client_encoding\0UTF8\0")
                    + message(b"Z", b"I")
                )
                client.recv(4096)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "command",
    [
        ["deploy"],
        ["fill"],
        ["check", "isolation"],
        ["load"],
        ["schema", "list"],
        ["doctor"],
        ["drill", "backup"],
        ["watch", "--once", "--interval", "0.1"],
    ],
    ids=" ".join,
)
def test_a_server_that_does_not_answer(harness: Harness, command: list[str]) -> None:
    done = harness(*command, "--dsn", NOWHERE)
    assert done.returncode == 3
    assert done.stderr.startswith("harness: cannot connect: ")
    assert done.stderr.count("\n") == 1
    assert "hunter2" not in done.stderr + done.stdout


def test_a_server_that_is_too_old(harness: Harness) -> None:
    with old_server("16.4") as port:
        done = harness("deploy", "--dsn", f"host=127.0.0.1 port={port} dbname=x user=u")
    assert done.returncode == 3
    assert done.stderr == "harness: the server is PostgreSQL 16; the harness needs 17 or later\n"


def test_a_dsn_that_cannot_be_read(harness: Harness) -> None:
    done = harness("deploy", "--dsn", "hots=x password=hunter2")
    assert done.returncode in (2, 3)
    assert done.stderr.count("\n") == 1
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["deploy", "--no-such-option"], "No such option"),
        (["no-such-command"], "No such command"),
        (["fill", "--tenants", "none"], "valid integer"),
        (["deploy", "--config", "none.toml"], "none.toml"),
        (["deploy", "--schema-dir", "/nonexistent"], "no such directory"),
        (["gate", "none.json"], "none.json: cannot be read: No such file"),
        (["report", "harness.toml"], "not a run document"),
        (["psql", "--role", "god"], "--role is"),
    ],
)
def test_wrong_usage(harness: Harness, arguments: list[str], message: str) -> None:
    done = harness(*arguments)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_adds_the_traceback(harness: Harness) -> None:
    done = harness("--debug", "deploy", "--schema-dir", "/nonexistent")
    assert done.returncode == 2
    assert "Traceback" in done.stderr


def test_a_setting_that_does_not_exist(harness: Harness, project: Path) -> None:
    wrong = project / "wrong.toml"
    wrong.write_text("colour = 'red'\n")
    done = harness("deploy", "--config", str(wrong))
    assert done.returncode == 2
    assert "setting colour" in done.stderr


def test_sql_that_postgres_refuses(harness: Harness, project: Path) -> None:
    schema = project / "broken"
    schema.mkdir()
    (schema / "one.sql").write_text("CREATE TABLE a (n integer);\n\nCREATE TABLE b (n intger);\n")
    done = harness("deploy", "--schema-dir", str(schema), "--database", "broken")
    assert done.returncode == 2
    assert done.stderr.startswith('harness: one.sql:3: type "intger" does not exist')
    (schema / "one.sql").write_text("CREATE TABLE a (n integer);\n")
    again = harness("deploy", "--schema-dir", str(schema), "--database", "broken")
    assert again.returncode == 0, "nothing of the failed deployment stands in the way"
