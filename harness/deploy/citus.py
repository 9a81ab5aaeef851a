"""Deploys the files of a schema to a Citus cluster, by way of its coordinator.

The same files as on one server, one statement a message, as the owner; the tables are distributed
between them, as whoever deploys: Citus checks keys by queries, which the owner's policies would
make joins that it cannot do. What one role made in a transaction another does not see on the
workers, so a table's statements are one and its distribution is one. A thousand tables take
minutes; harness.deploying notes with each transaction how far it came, and a deployment that was
interrupted goes on there. The last one makes the database a target.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext

import psycopg
from psycopg import sql

from harness.catalog.model import Name
from harness.config import Settings, Tenancy
from harness.db import Connection, Target, connect, one_line
from harness.deploy import (
    deploying,
    distribution,
    limits,
    nodes,
    roles,
    shard_bodies,
    target,
    tenant_bodies,
    translation,
)
from harness.deploy.deploy import count_objects, hand_over_materialized_views, nobody
from harness.deploy.roles import ON_A_CLUSTER
from harness.deploy.routing import Relations
from harness.deploy.script import Statement, statements, steps
from harness.deploy.source import SourceFile, read, require_all_named
from harness.errors import SchemaError
from harness.run import DeployResult

Progress = Callable[[int, int], None]
"""Called with files done and files in all."""

_LOCK = 0x6861726E657373
_SESSION = (
    # A key to a reference table would make Citus' own kind of local table of those that wait.
    "SET citus.enable_local_reference_table_foreign_keys = off",
    # They write rows of their own tenant alone, which are on the same node.
    "SET citus.enable_unsafe_triggers = on",
)


def deploy(
    database: Target,
    settings: Settings,
    workers: Sequence[nodes.Node] = (),
    shards: int = 4,
    on_progress: Progress = lambda *_: None,
) -> DeployResult:
    """Brings the schema to the cluster; does nothing where it already holds these files.

    `workers` are added where the coordinator does not know them, `shards` is how many each table
    has. Raises RefusedError for a database that holds something else, SchemaError with file:line
    for SQL that is refused; the files before stay, and are not deployed again.
    """
    files = read(settings.schema_dir)
    require_all_named(settings.schema_dir, files)
    started = time.perf_counter()
    _require_ours(database, files)
    nodes.join(database.admin, workers)
    with connect(database.admin, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        changed = target.state(connection) != "target"
        run, left_out = (
            _run(connection, files, settings, shards, on_progress) if changed else (0, ())
        )
        objects = count_objects(connection)
    seconds = time.perf_counter() - started
    return DeployResult(changed, len(files), run, seconds, objects, left_out)


def _require_ours(database: Target, files: Sequence[SourceFile]) -> None:
    """Raises RefusedError before anything is touched."""
    with connect(database.admin) as connection:
        deploying.require(connection, files)


def _run(
    connection: Connection,
    files: Sequence[SourceFile],
    settings: Settings,
    shards: int,
    on_progress: Progress,
) -> tuple[int, tuple[str, ...]]:
    """Runs the statements that are not there yet; their number, and what was left out."""
    there = deploying.begin(connection)
    _prepare(connection, settings, shards)
    scripts = [statements(file) for file in files]
    tables = _of_tenants(scripts, settings.tenancy)
    count = 0
    for position, (file, script) in enumerate(zip(files, scripts, strict=True)):
        on_progress(position, len(files))
        done = there.get(file.path, 0)
        count += _run_file(connection, file, script, settings, tables, done)
    nodes.hide_statements(connection)
    called_by = settings.roles
    nodes.let_functions_ask(connection, [called_by.app, called_by.readonly, *called_by.others])
    with connection.transaction():
        hand_over_materialized_views(connection, settings)
        named = shard_bodies.read(connection)
        shard_bodies.name_shards(connection, named)
        tenant_bodies.name_shards(connection, settings.tenancy, settings.roles, named)
        left_out = deploying.finish(connection, files, settings.roles.loader)
    on_progress(len(files), len(files))
    return count, left_out


def _of_tenants(scripts: Sequence[Sequence[Statement]], tenancy: Tenancy) -> Mapping[Name, str]:
    """Tables with the tenant's column, and the column as it is written."""
    column = sql.Identifier(tenancy.column).as_string(None)
    made = (statement for script in scripts for statement in script)
    return {each.table: column for each in made if each.table and tenancy.column in each.columns}


def _run_file(
    connection: Connection,
    file: SourceFile,
    script: Sequence[Statement],
    settings: Settings,
    tables: Mapping[Name, str],
    done: int,
) -> int:
    """Runs a file from where it was left, and distributes its tables."""
    end = run = 0
    for step in steps(script):
        end += len(step)
        if end <= done:
            continue
        _distribute(connection, file, settings)
        with connection.transaction():
            _become_owner(connection, settings)
            told = [_execute(connection, file, each, settings, tables) for each in step]
            connection.execute("RESET ROLE")
            deploying.note(connection, file, script[:end], list(filter(None, told)))
        run += len(step)
    _distribute(connection, file, settings)
    return run


def _prepare(connection: Connection, settings: Settings, shards: int) -> None:
    for command in _SESSION:
        connection.execute(command.encode())
    connection.execute("SELECT set_config('citus.shard_count', %s, false)", [str(shards)])
    roles.ensure(connection, settings.roles, ON_A_CLUSTER)
    roles.require_login(connection, settings.roles)
    with connection.transaction():
        _introduce_roles(connection, settings)
    if owner := settings.roles.owner:
        names = {"owner": sql.Identifier(owner), "db": sql.Identifier(connection.info.dbname)}
        for command in ("CREATE ON DATABASE {db}", "CREATE ON SCHEMA public"):
            connection.execute(sql.SQL(f"GRANT {command} TO {{owner}}").format(**names))


def _introduce_roles(connection: Connection, settings: Settings) -> None:
    """Makes the roles known to every node, which nobody but a superuser may.

    Citus takes a role to its workers with the first object that it owns or is granted, as whoever
    makes that. A domain is such an object, for as long as it takes.
    """
    connection.execute("CREATE DOMAIN harness.owned AS integer")
    names = (getattr(settings.roles, capacity) for capacity in ON_A_CLUSTER)
    for role in filter(None, names):
        name = sql.Identifier(role)
        connection.execute(sql.SQL("ALTER DOMAIN harness.owned OWNER TO {}").format(name))
    connection.execute("DROP DOMAIN harness.owned")


def _become_owner(connection: Connection, settings: Settings) -> None:
    """To the end of the transaction: as the owner, with a tenant that does not exist named on
    every node, for keys are validated under policies.

    Over one connection to each worker: what one makes, another would not see before the end.
    """
    connection.execute("SET LOCAL citus.multi_shard_modify_mode = 'sequential'")
    if settings.roles.owner:
        role = sql.Identifier(settings.roles.owner)
        connection.execute(sql.SQL("SET LOCAL ROLE {}").format(role))
    connection.execute("SET LOCAL citus.propagate_set_commands = 'local'")
    names = [sql.Identifier(part) for part in settings.tenancy.setting.split(".")]
    setting = sql.SQL(".").join(names)
    tenant = sql.Literal(nobody(settings.tenancy))
    connection.execute(sql.SQL("SET LOCAL {} = {}").format(setting, tenant))


def _execute(
    connection: Connection,
    file: SourceFile,
    statement: Statement,
    settings: Settings,
    tables: Mapping[Name, str],
) -> str:
    """Runs a statement; a line where Citus cannot have what it adds, and it was left out."""
    place = f"{file.path}:{statement.told_at}"
    if why := limits.of_trigger(connection, statement):
        return f"{place}: left out ({statement.shown()} …): {why}"
    try:
        with connection.transaction() if statement.adds_key else nullcontext():
            text = _text(connection, statement, settings.tenancy, tables)
            connection.execute(text.encode())
    except psycopg.Error as error:
        if isinstance(error, psycopg.OperationalError):
            raise
        if why := limits.of_key(statement, _told(error)):
            return f"{place}: left out ({statement.shown()} …): {why}"
        raise SchemaError(f"{place}: {_told(error)} (in: {statement.shown()} …)") from None
    return ""


def _text(
    connection: Connection, statement: Statement, tenancy: Tenancy, tables: Mapping[Name, str]
) -> str:
    text = statement.text
    if statement.is_sql:
        reads = limits.reads_tables(connection, translation.body_of(text))
        text = translation.in_plpgsql(text) if reads else text
    if not translation.is_in_plpgsql(text):
        return text
    text = translation.asking_once(translation.planned_anew(text), tenancy)
    views = limits.views(connection, limits.named(text))
    return translation.for_a_cluster(text, tenancy, Relations(tables, views))


def _distribute(connection: Connection, file: SourceFile, settings: Settings) -> None:
    for table in distribution.in_order(distribution.local_tables(connection)):
        try:
            distribution.distribute(connection, table, settings.tenancy)
        except psycopg.Error as error:
            if isinstance(error, psycopg.OperationalError):
                raise
            raise SchemaError(
                f"{file.path}: {table.name} cannot be distributed: {_told(error)}"
            ) from None


def _told(error: psycopg.Error) -> str:
    parts = (error.diag.message_primary, error.diag.message_detail, error.diag.message_hint)
    return "; ".join(" ".join(part.split()) for part in parts if part) or one_line(error)
