"""Attacks the isolation of a live, filled database as the application role.

Every table is attacked by every probe, twice: as it is, and with its row security switched
off in a transaction that is rolled back. Held means that the first attempt was held and the
second crossed. Triggers are out of the way (session_replication_role), so that what refuses a
write is row security and not a rule of the business.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from psycopg import sql

from checks import probes, relations
from checks.attempt import Outcome, Session, Subject, judge
from harness.catalog import live
from harness.catalog.model import Name, Table
from harness.config import Settings
from harness.db import Connection, Target, connect
from harness.deploy import target
from harness.errors import UsageError
from harness.run import Attacked, ProbeResult

Attempt = Callable[[Session, Subject], Outcome]
Progress = Callable[[int, int], None]


# Reads, which need no trigger out of the way, go through the application's own login.
_OVER_THE_WIRE = ("select", "no_tenant", "left_over")


@cache
def attempts() -> Mapping[str, Attempt]:
    """The probes by name, found by walking their package."""
    names = sorted(module.name for module in pkgutil.iter_modules(probes.__path__))
    return {name: importlib.import_module(f"checks.probes.{name}").attempt for name in names}


def check(
    database: Target,
    settings: Settings,
    owned: str | None = None,
    on_progress: Progress = lambda *_: None,
) -> tuple[ProbeResult, ...]:
    """Attacks every table, view, materialized view and partition.

    Raises RefusedError where the database is not a harness target, UsageError where it does
    not hold two tenants.
    """
    results: list[ProbeResult] = []
    with (
        connect(database.admin, autocommit=True) as admin,
        connect(database.app, autocommit=True) as app,
    ):
        target.require(admin, owned)
        catalog = live.read(admin)
        tables = [t for t in catalog.tables.values() if _is_attacked(t, settings)]
        tenants = _two_tenants(admin, settings)
        for done, table in enumerate(tables):
            on_progress(done, len(tables))
            subject = Subject(table, settings.tenancy.column, *tenants)
            results += attack(admin, app, subject, settings)
        results += relations.check_partitions(admin, catalog, settings)
        results += relations.check_views(admin, app, catalog, settings, tenants)
        on_progress(len(tables), len(tables))
    return tuple(results)


def attack(
    admin: Connection, app: Connection, subject: Subject, settings: Settings
) -> tuple[ProbeResult, ...]:
    """All probes on one table, with their control experiment."""
    if subject.tenant_column not in subject.table.columns:
        detail = f"has no column {subject.tenant_column}: every tenant sees every row"
        return (ProbeResult(str(subject.table.name), "select", "leak", detail),)
    wire, local = Session(app, settings.tenancy), Session(admin, settings.tenancy)
    known = attempts()
    outcomes = {name: _try(known[name], wire, subject) for name in _OVER_THE_WIRE}
    with as_application(admin, settings):
        for name in known.keys() - outcomes.keys():
            outcomes[name] = _try(known[name], local, subject)
    with as_application(admin, settings, opened=subject.table):
        control = {name: _try(attempt, local, subject) for name, attempt in known.items()}
    return tuple(_verdict(subject, name, outcomes[name], control[name]) for name in known)


@contextmanager
def as_application(
    admin: Connection, settings: Settings, opened: Table | None = None
) -> Iterator[None]:
    """A transaction of the application role without triggers, rolled back at the end.

    With a table `opened`, the row security of that table is off in it.
    """
    with admin.transaction(force_rollback=True):
        if opened is not None:
            admin.execute(
                sql.SQL("ALTER TABLE {} DISABLE ROW LEVEL SECURITY").format(opened.name.identifier)
            )
        if admin.info.parameter_status("is_superuser") == "on":
            admin.execute("SET LOCAL session_replication_role = replica")
        admin.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(settings.roles.app)))
        yield


def _is_attacked(table: Table, settings: Settings) -> bool:
    return table.partition_of is None and not settings.tenancy.shares(table.name)


def attacked(database: Target, settings: Settings) -> Attacked:
    """The tenants that `check` lets attack each other."""
    with connect(database.admin) as admin:
        attacker, victim = _two_tenants(admin, settings)
    return Attacked(attacker=str(attacker), victim=str(victim))


def _two_tenants(admin: Connection, settings: Settings) -> tuple[Any, Any]:
    """The two largest tenants by the root table's order of creation."""
    root = Name.parse(settings.tenancy.root_table)
    rows = admin.execute(
        sql.SQL("SELECT {column} FROM {root} ORDER BY 1 LIMIT 2").format(
            column=sql.Identifier(settings.tenancy.column), root=root.identifier
        )
    ).fetchall()
    if len(rows) < 2:
        raise UsageError(f"{root} holds {len(rows)} tenants and probes need two: run harness fill")
    return rows[0][0], rows[1][0]


def _try(attempt: Attempt, session: Session, subject: Subject) -> Outcome:
    return judge(lambda: attempt(session, subject))


def _verdict(subject: Subject, probe: str, real: Outcome, control: Outcome) -> ProbeResult:
    name = str(subject.table.name)
    if real.crossed:
        return ProbeResult(name, probe, "leak", real.detail)
    if real.crossed is None:
        return ProbeResult(name, probe, "error", real.detail)
    if not control.crossed and "permission denied" not in control.detail:
        detail = f"crosses nothing even without row security: {control.detail}"
        return ProbeResult(name, probe, "vacuous", detail)
    return ProbeResult(name, probe, "held", real.detail)
