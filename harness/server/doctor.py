"""What the harness needs of a server, asked one thing at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, LiteralString

from harness.config import Settings
from harness.db import Connection, Target, connect
from harness.server.examined import Answer, Examined


def examine(target: Target, settings: Settings, external: bool) -> list[Examined]:
    """All questions in order. Raises DatabaseError where the server cannot be reached."""
    with connect(target.admin) as connection:
        answers = [
            Examined("server", Answer.GOOD, f"{target}, PostgreSQL {_version(connection)}"),
            *_settings(connection),
            *_extensions(connection),
            *_roles(connection, settings),
            _right_to_make_roles(connection),
            _monitoring(connection),
            _sizes_of_tenants(connection),
        ]
        answers += _fit_for_drills(connection) if external else ()
    if not external:
        answers.append(Examined("isolation", Answer.GOOD, "listens on a private Unix socket only"))
    return answers


def _version(connection: Connection) -> str:
    return str(connection.info.parameter_status("server_version"))


def _settings(connection: Connection) -> Iterator[Examined]:
    locks = int(_one(connection, "SELECT current_setting('max_locks_per_transaction')"))
    enough = locks >= 128
    detail = f"{locks}" if enough else f"{locks}; a large schema needs 256 in one transaction"
    yield Examined("max_locks_per_transaction", _good(enough, Answer.WARNING), detail)
    timed = _one(connection, "SELECT current_setting('track_io_timing')") == "on"
    detail = "on" if timed else "off; reports will lack I/O times"
    yield Examined("track_io_timing", _good(timed, Answer.WARNING), detail)
    yield _statements(connection)


def _statements(connection: Connection) -> Examined:
    loaded = "pg_stat_statements" in _one(
        connection, "SELECT current_setting('shared_preload_libraries', true)"
    )
    created = _one(
        connection, "SELECT count(*) FROM pg_extension WHERE extname = 'pg_stat_statements'"
    )
    detail = "loaded" if loaded else "not in shared_preload_libraries; no statement statistics"
    if loaded and not created:
        detail = (
            "loaded, not created in this database: after CREATE EXTENSION pg_stat_statements "
            "`harness metrics` tells its statements"
        )
    return Examined("pg_stat_statements", _good(loaded, Answer.WARNING), detail)


def _extensions(connection: Connection) -> Iterator[Examined]:
    for name in ("btree_gist", "btree_gin", "pg_trgm"):
        there = _one(
            connection, "SELECT count(*) FROM pg_available_extensions WHERE name = %s", [name]
        )
        detail = "available" if there else "not installed; the bundled schema needs it (contrib)"
        yield Examined(f"extension {name}", _good(bool(there), Answer.BAD), detail)


def _roles(connection: Connection, settings: Settings) -> Iterator[Examined]:
    for name in (settings.roles.app, settings.roles.readonly):
        row = connection.execute(
            "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = %s", [name]
        ).fetchone()
        if row is None:
            yield Examined(f"role {name}", Answer.WARNING, "is missing; harness deploy makes it")
        elif row[0]:
            detail = f"bypasses row security; ALTER ROLE {name} NOSUPERUSER NOBYPASSRLS"
            yield Examined(f"role {name}", Answer.BAD, detail)
        else:
            yield Examined(f"role {name}", Answer.GOOD, "is held by row security")


def _right_to_make_roles(connection: Connection) -> Examined:
    may = _one(
        connection,
        "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user",
    )
    detail = "may create roles" if may else "may not create roles: have somebody create them"
    return Examined("your role", _good(bool(may), Answer.WARNING), detail)


def _monitoring(connection: Connection) -> Examined:
    monitors = bool(_one(connection, "SELECT pg_has_role('pg_monitor', 'USAGE')"))
    otherwise = "is no member of pg_monitor: harness metrics will not see what sessions do"
    detail = "sees what other sessions do" if monitors else otherwise
    return Examined("monitoring", _good(monitors, Answer.WARNING), detail)


def _sizes_of_tenants(connection: Connection) -> Examined:
    """pg_stats hides a table with row security from everybody whom that is for."""
    seen = bool(
        _one(
            connection,
            "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user",
        )
    )
    hidden = "pg_stats hides tables with row security: harness metrics needs BYPASSRLS to tell them"
    detail = "planner statistics may be read" if seen else hidden
    return Examined("sizes of tenants", _good(seen, Answer.WARNING), detail)


def _fit_for_drills(connection: Connection) -> Iterator[Examined]:
    on = _one(connection, "SELECT current_setting('summarize_wal')") == "on"
    detail = "on" if on else "off; harness drill backup needs it for incremental backups"
    yield Examined("summarize_wal", _good(on, Answer.WARNING), detail)


def _good(condition: bool, otherwise: Answer) -> Answer:
    return Answer.GOOD if condition else otherwise


def _one(connection: Connection, query: LiteralString, values: list[Any] | None = None) -> Any:
    row = connection.execute(query, values).fetchone()
    return row[0] if row else None
