"""Deploys the files of a schema in one transaction.

Whole files are sent, for a round trip per statement would double the time; on an error the
count of finished statements says which one it was.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from importlib.resources import files as resources

import psycopg
from psycopg import pq, sql

from harness.config import Settings, Tenancy
from harness.db import Connection, Target, connect
from harness.deploy import nodes, roles, target
from harness.deploy.source import SourceFile, read, require_all_named, statement_at
from harness.errors import RefusedError, SchemaError
from harness.run import DeployResult

Progress = Callable[[int, int], None]
"""Called with files done and files in all."""

_CITUS_CLAUSE = re.compile(r"^\s*SET citus\.propagate_set_commands = 'local'\s*?(?=\n| AS )", re.M)
_LOCK = 0x6861726E657373  # "harness": one deployment at a time per database


def deploy(
    database: Target,
    settings: Settings,
    owned: str | None = None,
    on_progress: Progress = lambda *_: None,
) -> DeployResult:
    """Brings the schema into the database; does nothing where it already holds these files.

    Raises RefusedError for a database that holds something else, SchemaError with file:line
    for SQL that PostgreSQL refuses. In either case the database is as it was.
    """
    files = read(settings.schema_dir)
    require_all_named(settings.schema_dir, files)
    return deploy_files(database, files, settings, owned, on_progress)


def deploy_files(
    database: Target,
    files: Sequence[SourceFile],
    settings: Settings,
    owned: str | None = None,
    on_progress: Progress = lambda *_: None,
) -> DeployResult:
    """The same with files that were read already."""
    started = time.perf_counter()
    with connect(database.admin, autocommit=True) as connection:
        if _needs_deployment(connection, files, owned):
            roles.ensure(connection, settings.roles)
    with connect(database.admin) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        changed = _needs_deployment(connection, files, owned)
        statements = _run(connection, files, settings, on_progress) if changed else 0
        objects = count_objects(connection)
    seconds = time.perf_counter() - started
    return DeployResult(changed, len(files), statements, seconds, objects)


def count_objects(connection: Connection) -> dict[str, dict[str, int]]:
    """Per schema of the user, the number of objects of each kind, from the catalog."""
    query = (resources("harness.deploy") / "objects.sql").read_bytes()
    counts: dict[str, dict[str, int]] = {}
    for schema, kind, number in connection.execute(query):
        counts.setdefault(schema, {})[kind] = number
    return counts


def _needs_deployment(
    connection: Connection, files: Sequence[SourceFile], owned: str | None
) -> bool:
    state = target.state(connection)
    name = connection.info.dbname
    if state == "foreign" and owned != name:
        target.require(connection, owned)
    if state == "unfinished" or (state == "empty" and nodes.is_cluster(connection)):
        raise RefusedError(f"database {name} belongs to a Citus cluster: deploy to it with --citus")
    if state == "target":
        target.require_all(connection, files)
    return state != "target"


def _run(
    connection: Connection,
    files: Sequence[SourceFile],
    settings: Settings,
    on_progress: Progress,
) -> int:
    superuser = connection.info.parameter_status("is_superuser") == "on"
    _become_owner(connection, settings)
    _become_nobody(connection, settings)
    statements = 0
    for done, file in enumerate(files):
        on_progress(done, len(files))
        statements += _run_file(connection, file, keep_citus=superuser)
    connection.execute("RESET ROLE")
    hand_over_materialized_views(connection, settings)
    target.record(connection, files, settings.roles.loader)
    on_progress(len(files), len(files))
    return statements


def _become_owner(connection: Connection, settings: Settings) -> None:
    """From here on what is created belongs to the owner role."""
    owner = settings.roles.owner
    if not owner:
        return
    names = {"owner": sql.Identifier(owner), "db": sql.Identifier(connection.info.dbname)}
    connection.execute(sql.SQL("GRANT CREATE ON DATABASE {db} TO {owner}").format(**names))
    if connection.execute("SELECT to_regnamespace('public') IS NOT NULL").fetchone() == (True,):
        connection.execute(sql.SQL("GRANT CREATE ON SCHEMA public TO {owner}").format(**names))
    connection.execute(sql.SQL("SET LOCAL ROLE {owner}").format(**names))


def _become_nobody(connection: Connection, settings: Settings) -> None:
    """Names a tenant that does not exist, to the end of the transaction.

    A foreign key that is added to two tables is validated under their policies, which fail
    where no tenant is named.
    """
    tenancy = settings.tenancy
    connection.execute("SELECT set_config(%s, %s, true)", [tenancy.setting, nobody(tenancy)])


def nobody(tenancy: Tenancy) -> str:
    """A tenant that does not exist."""
    return "00000000-0000-0000-0000-000000000000" if tenancy.type == "uuid" else "0"


def _run_file(connection: Connection, file: SourceFile, keep_citus: bool) -> int:
    """Runs a file and returns its number of statements.

    Only a superuser may attach the setting of an extension that is not loaded, so anybody else
    deploys without the clause that Citus needs.
    """
    text = file.text if keep_citus else _CITUS_CLAUSE.sub("", file.text)
    server = connection.pgconn
    server.send_query(text.encode())
    finished = 0
    failure: pq.abc.PGresult | None = None
    while (result := server.get_result()) is not None:
        if result.status == pq.ExecStatus.FATAL_ERROR:
            failure = failure or result
        finished += failure is None
    if failure is not None:
        raise _schema_error(file, finished, failure)
    return finished


def _schema_error(file: SourceFile, finished: int, failure: pq.abc.PGresult) -> Exception:
    def field(which: pq.DiagnosticField) -> str:
        return (failure.error_field(which) or b"").decode(errors="replace")

    state, message = field(pq.DiagnosticField.SQLSTATE), field(pq.DiagnosticField.MESSAGE_PRIMARY)
    if state.startswith(("57P", "08")) or not state:
        return psycopg.OperationalError(message or "the server went away")
    hint = field(pq.DiagnosticField.MESSAGE_HINT)
    position = field(pq.DiagnosticField.STATEMENT_POSITION)
    if state == "42601" and position:  # a syntax error: nothing of the file was run
        line, statement = file.line_at(int(position) - 1), ""
    else:
        line, statement = statement_at(file, finished)
    shown = f" (in: {' '.join(statement.split())[:80]} …)" if statement else ""
    return SchemaError(f"{file.path}:{line}: {message}{shown}{'; ' + hint if hint else ''}")


def hand_over_materialized_views(connection: Connection, settings: Settings) -> None:
    """Gives them to the role that bypasses row security, for their refresh reads all tenants.

    The owner of the schema keeps SELECT: its publishing views filter by tenant.
    """
    owner, keeper = settings.roles.owner, settings.roles.matview_owner
    if not (owner and keeper):
        return
    views = connection.execute(
        "SELECT schemaname, matviewname FROM pg_matviews WHERE matviewowner = %s", [owner]
    ).fetchall()
    for schema, name in views:
        names = {
            "view": sql.Identifier(schema, name),
            "keeper": sql.Identifier(keeper),
            "owner": sql.Identifier(owner),
        }
        for command in (
            "ALTER MATERIALIZED VIEW {view} OWNER TO {keeper}",
            "GRANT SELECT ON {view} TO {owner}",
        ):
            connection.execute(sql.SQL(command).format(**names))
