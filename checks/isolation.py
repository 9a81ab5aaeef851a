"""Attacks the isolation of a live, filled database as the application role.

Every table is attacked by every probe, twice: as it is, and with its row security switched
off in a transaction that is rolled back. Held means that the first attempt was held and the
second crossed. Triggers are out of the way (session_replication_role), so that what refuses a
write is row security and not a rule of the business. What is not a table is surveyed once.

On a Citus cluster what needs the admin is done to the shard, on its node (checks.on_shards).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Set
from contextlib import contextmanager

import psycopg

from checks import blind, rows_in_common
from checks.attempt import Outcome, Session, Subject, as_application, judge
from checks.ground import Ground, limit, two_tenants
from checks.on_shards import placed
from checks.probe import Attempt, Probe, attempts, cluster_surveys, registry, surveys
from harness.catalog import live
from harness.catalog.cluster import Cluster
from harness.catalog.model import Name
from harness.config import Settings
from harness.db import Target, connect, is_lost, one_line
from harness.deploy import target
from harness.errors import UsageError
from harness.run import Attacked, ProbeResult

Progress = Callable[[int, int], None]


def check(
    database: Target,
    settings: Settings,
    owned: str | None = None,
    on_progress: Progress = lambda *_: None,
    tables: Collection[str] = (),
) -> tuple[ProbeResult, ...]:
    """Attacks all that an application can reach: tables, views, functions, sequences and so on; or
    these tables alone.

    Raises RefusedError where the database is not a harness target, UsageError where it does
    not hold two tenants or one of the tables.
    """
    with ground(database, settings, owned) as found:
        if tables:
            return _attack_these(found, tables, on_progress)
        return _attack_all(found, on_progress)


def _attack_these(
    found: Ground, tables: Collection[str], on_progress: Progress
) -> tuple[ProbeResult, ...]:
    known = {str(subject.table.name): subject for subject in found.subjects()}
    if unknown := sorted(set(tables) - known.keys()):
        raise UsageError(
            f"{found.name} has no table {unknown[0]} that keeps tenants apart; name it as"
            f" schema.table, a partition by the table that it is a part of"
        )
    wanted = [subject for name, subject in known.items() if name in tables]
    return tuple(_attack_each(found, wanted, len(wanted), on_progress))


def _attack_each(
    found: Ground, subjects: Iterable[Subject], total: int, on_progress: Progress
) -> Iterator[ProbeResult]:
    for done, subject in enumerate(subjects, 1):
        yield from attack(found, subject)
        on_progress(done, total)


def _attack_all(found: Ground, on_progress: Progress) -> tuple[ProbeResult, ...]:
    tables, rest = list(found.subjects()), list(surveys())
    total = len(tables) + len(rest)
    results = [*_attack_each(found, tables, total, on_progress), *rows_in_common.check(found)]
    for done, probe in enumerate(rest, len(tables) + 1):
        results += _survey(found, probe)
        on_progress(done, total)
    return tuple(results)


def check_cluster(
    database: Target,
    settings: Settings,
    cluster: Cluster,
    owned: str | None = None,
    on_progress: Progress = lambda *_: None,
) -> tuple[ProbeResult, ...]:
    """What sessions see of a Citus cluster through its coordinator and its workers; raises as
    `check` does."""
    results: list[ProbeResult] = []
    probes = list(cluster_surveys())
    with ground(database, settings, owned) as found:
        for done, probe in enumerate(probes):
            on_progress(done, len(probes))
            results += _survey(found, probe, cluster)
    return tuple(results)


def _survey(ground: Ground, probe: Probe, cluster: Cluster | None = None) -> list[ProbeResult]:
    """What a survey tells; one that fails as a whole proves nothing."""
    try:
        if probe.survey_cluster and cluster:
            return list(probe.survey_cluster(ground, cluster))
        return list(probe.survey(ground)) if probe.survey else []
    except psycopg.Error as error:
        if is_lost(error):
            raise
        return [ProbeResult(ground.name, probe.name, "error", one_line(error))]


def attack(ground: Ground, subject: Subject) -> tuple[ProbeResult, ...]:
    """All probes on one table, with their control experiment; those on a table that another
    session has locked, or that the admin does not own, prove nothing."""
    try:
        return _attack(ground, subject)
    except psycopg.Error as error:
        if is_lost(error):
            raise
        name, told = str(subject.table.name), f"no control experiment: {one_line(error)}"
        return tuple(ProbeResult(name, probe, "error", told) for probe in attempts())


def _attack(ground: Ground, subject: Subject) -> tuple[ProbeResult, ...]:
    known, writing = attempts(), {name for name in attempts() if registry()[name].writes}
    outcomes = {name: _try(known[name], ground.wire, subject) for name in known.keys() - writing}
    admin, there = ground.place_of(subject)
    prepared = blind.cursors(there)
    with as_application(admin, ground.settings, prepared) as session:
        outcomes |= _try_all(writing, session, there)
    opened = [there.compose("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"), *prepared]
    with as_application(admin, ground.settings, opened) as session:
        control = _try_all(known.keys(), session, there)
    return tuple(_verdict(subject, name, outcomes[name], control[name]) for name in known)


def _try_all(names: Set[str], session: Session, subject: Subject) -> dict[str, Outcome]:
    """Outcomes of probes; those without a tenant come first, and then it is set once."""
    known, probes = attempts(), registry()
    unset = sorted(name for name in names if probes[name].unset)
    outcomes = {name: _try(known[name], session, subject) for name in unset}
    with session.working_for(subject.own) as standing:
        for name in sorted(names - outcomes.keys()):
            outcomes[name] = _try(known[name], standing, subject)
    return outcomes


def attacked(database: Target, settings: Settings) -> Attacked:
    """The tenants that `check` lets attack each other."""
    root = Name.parse(settings.tenancy.root_table)
    with connect(database.admin) as admin:
        catalog = live.read(admin, {root.schema})
        if root not in catalog.tables:
            catalog = live.read(admin)
        attacker, victim = two_tenants(admin, catalog, settings.tenancy)
    return Attacked(attacker=str(attacker), victim=str(victim))


@contextmanager
def ground(database: Target, settings: Settings, owned: str | None = None) -> Iterator[Ground]:
    """The database, ready to be attacked; raises as `check` does."""
    with (
        connect(database.admin, autocommit=True) as admin,
        connect(database.app, autocommit=True) as app,
    ):
        target.require(admin, owned)
        catalog = live.read(admin)
        limit(admin)
        limit(app)
        own, other = two_tenants(admin, catalog, settings.tenancy)
        ours = target.state(admin) == "target"
        with placed(Ground(database, settings, admin, app, catalog, own, other, ours)) as found:
            yield found


def _try(attempt: Attempt, session: Session, subject: Subject) -> Outcome:
    return judge(lambda: attempt(session, subject))


def _verdict(subject: Subject, probe: str, real: Outcome, control: Outcome) -> ProbeResult:
    name = str(subject.table.name)
    if real.crossed:
        return ProbeResult(name, probe, "leak", real.detail)
    if real.crossed is None:
        return ProbeResult(name, probe, "error", real.detail)
    if real.vacuous:
        return ProbeResult(name, probe, "vacuous", real.detail)
    if not control.crossed and not control.never:
        detail = f"crosses nothing even without row security: {control.detail}"
        return ProbeResult(name, probe, "vacuous", detail)
    return ProbeResult(name, probe, "held", real.detail)
