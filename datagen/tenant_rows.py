"""Loads the rows of a tenant: cohort by cohort, in each table by table."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import psycopg

from datagen import held, ledger, salvage, spanning, tenants, unmet
from datagen.ahead import Ahead, ahead
from datagen.breaking import subject_rows, unique_values
from datagen.building import build
from datagen.cohorts import Division, divide
from datagen.frame import Frame, NoParent
from datagen.kept import Kept, keep
from datagen.ledger import Unit
from datagen.loading import Copy
from datagen.part import WHOLE, Cohort, Part
from datagen.plan import TablePlan
from datagen.site import Filled, Site, begin_unit, date_unit, in_transaction
from datagen.tenants import Tenant
from datagen.values import Array
from harness.catalog.model import Name
from harness.db import Connection
from harness.errors import HarnessError

AHEAD = 10_000
"""Rows that may wait to be loaded; one unit may have more."""
SOME = 500
Load = Callable[[Connection, Frame, Copy], salvage.Loaded]
Frames = Ahead[tuple[TablePlan, Cohort], Frame | None]


@dataclass
class _Tenant:
    """A tenant's rows underway: what the next unit has to know of those before it."""

    site: Site
    tenant: Tenant
    tables: tuple[TablePlan, ...]
    division: Division
    done: ledger.Done
    kept: dict[Name, Kept] = field(default_factory=dict)
    first: dict[Name, int] = field(default_factory=dict)
    """By table: the number of its next row."""
    seen: dict[Name, dict[str, Array]] = field(default_factory=dict)
    full: set[Name] = field(default_factory=set)
    """Tables that cannot have many more rows that differ from those they have."""


def load_tenant(site: Site, tenant: Tenant) -> Iterator[Filled]:
    """Loads what of the tenant's rows is not there; tells of every unit, also those that were."""
    done = ledger.read(site.connection, tenant.id)
    division = divide(site.plan, tenant)
    underway = _Tenant(site, tenant, site.plan.owned, division, done, dict(site.shared))
    missing = [c for c in underway.division.cohorts() if not _is_there(underway, c)]
    for cohort in underway.division.cohorts():
        if not missing or (cohort not in missing and cohort.index):
            yield from _remember(underway, cohort, bool(missing))
        else:
            yield from _load_cohort(underway, cohort)


def load_shared(site: Site) -> Generator[Filled, None, None]:
    """Loads the rows that are everybody's, before those of tenants. Tables that held rows before
    are left as they are: what they hold is referred to."""
    nobody = tenants.everybody(site.plan.settings.seed)
    taken = [table for table in site.plan.shared if table.name in site.plan.taken]
    for table in taken:
        site.shared[table.name] = held.rows(site.connection, table, site.needs, site.plan.catalog)
        yield Filled(0, str(table.name), site.shared[table.name].rows)
    tables = tuple(table for table in site.plan.shared if table not in taken)
    done = ledger.read(site.connection, nobody.id)
    underway = _Tenant(site, nobody, tables, Division(1, frozenset()), done, site.shared)
    yield from _load_cohort(underway, WHOLE)


def unit_name(table: Name, cohort: Cohort) -> str:
    """A unit as the ledger names it."""
    return str(table) if cohort.of == 1 else f"{table} {cohort.index + 1}/{cohort.of}"


def _units(underway: _Tenant, cohort: Cohort) -> Iterator[tuple[TablePlan, Cohort]]:
    """The tables that are made in a cohort, and which of their rows."""
    for table in underway.tables:
        if (made := underway.division.cohort_of(table.name, cohort)) is not None:
            yield table, made


def _is_there(underway: _Tenant, cohort: Cohort) -> bool:
    units = _units(underway, cohort)
    return all(unit_name(table.name, made) in underway.done for table, made in units)


def _remember(underway: _Tenant, cohort: Cohort, more: bool) -> Iterator[Filled]:
    """Goes past a cohort that is there; `more` where others come after it."""
    site, tenant = underway.site, underway.tenant
    for table, made in _units(underway, cohort):
        name = unit_name(table.name, made)
        unit = underway.done[name]
        if more:
            held = ledger.held(site.connection, tenant.id, name)
            _count(underway, table.name, made, Unit(unit.rows, unit.numbered, held))
        yield Filled(tenant.ordinal, str(table.name), unit.rows)


def _load_cohort(underway: _Tenant, cohort: Cohort) -> Iterator[Filled]:
    """Loads the units of a cohort; while one of them travels the next are made, as if all of its
    rows were taken."""
    units = list(_units(underway, cohort))
    with ahead(units, partial(_made, underway), _weight, AHEAD) as frames:
        for number, (table, made) in enumerate(units):
            later = (each.name for each, _ in units[number + 1 :])
            yield _load_unit(underway, frames, table, made, later)
            _forget(underway, underway.site.last_use.get(table.name, ()))


def _load_unit(
    underway: _Tenant, frames: Frames, table: TablePlan, cohort: Cohort, later: Iterable[Name]
) -> Filled:
    """Copies the rows of a unit in, unless they are there; what is made ahead is made anew where
    they are not as they were made."""
    started = time.perf_counter()
    unit, problem, frame = Unit(), "", None
    try:
        frame = frames.take()
        unit = _nothing_more(underway, table, cohort) if frame is None else _put(underway, frame)
    except (HarnessError, psycopg.Error) as error:
        if unmet.ends_the_fill(error):
            raise
        problem = unmet.of_table(table, error)
    if frame is not None and (problem or unit.refused):
        left = None if problem else frame
        frames.again(partial(_keep_instead, underway, table.name, left, later))
    spent = time.perf_counter() - started
    name, ordinal = str(table.name), underway.tenant.ordinal
    return Filled(ordinal, name, unit.rows, spent, problem, _missed(table, unit), unit.why)


def _weight(frame: Frame | None) -> int:
    """In rows: a unit of a few takes almost as long to make as one of some hundred."""
    return SOME + (0 if frame is None else frame.rows)


def _missed(table: TablePlan, unit: Unit) -> int:
    """Rows that a user has not reckoned with missing; a recipe's author knows what can be."""
    if table.recipe.source:
        return len(unit.refused[-1]) if unit.refused else 0
    return max(unit.numbered - unit.rows, 0)


def _made(underway: _Tenant, unit: tuple[TablePlan, Cohort]) -> Frame | None:
    """The rows of a unit, which later ones may refer to from now on; None where no more rows can
    be made. Runs ahead of what is loaded, and reads nothing that loading changes in a cohort."""
    (table, cohort), site = unit, underway.site
    underway.kept.pop(table.name, None)
    if table.name in underway.full:
        return None
    part = Part(
        cohort,
        first=underway.first.get(table.name, 0),
        seen=underway.seen.get(table.name, {}),
        key_width=site.key_widths[table.name],
    )
    try:
        frame = build(site.plan, table, underway.tenant, site.pools, dict(underway.kept), part)
    except NoParent:
        if cohort.index and all(r.parent in underway.kept for r in table.references):
            return None
        raise
    underway.kept[table.name] = keep(frame, site.needs.get(table.name, frozenset()))
    return frame


def _keep_instead(
    underway: _Tenant, name: Name, frame: Frame | None, later: Iterable[Name]
) -> None:
    """Lets later units refer to what is left of a frame, and to none of those after it."""
    for other in (name, *later):
        underway.kept.pop(other, None)
    if frame is not None:
        underway.kept[name] = keep(frame, underway.site.needs.get(name, frozenset()))


def _nothing_more(underway: _Tenant, table: TablePlan, cohort: Cohort) -> Unit:
    name = unit_name(table.name, cohort)
    if name not in underway.done:
        _note(underway, name, Unit())
    return Unit()


def _put(underway: _Tenant, frame: Frame) -> Unit:
    """Copies the rows in, unless they are there, and leaves those that PostgreSQL takes."""
    name = unit_name(frame.table.name, frame.part.cohort)
    if (done := underway.done.get(name)) is not None:
        salvage.again(frame, done.refused)
        unit = replace(done, held=_spanning(underway, frame))
    else:
        unit = _put_new(underway, frame, name)
    _count(underway, frame.table.name, frame.part.cohort, unit)
    return unit


def _put_new(underway: _Tenant, frame: Frame, name: str) -> Unit:
    """All rows at once, which mostly goes well; else from the beginning, those that can be."""
    try:
        return _in_transaction(underway, frame, name, salvage.load_all)
    except psycopg.Error as error:
        if unmet.ends_the_fill(error):
            raise
    return _in_transaction(underway, frame, name, salvage.load)


def _in_transaction(underway: _Tenant, frame: Frame, name: str, load: Load) -> Unit:
    """Copies rows in and notes it. Where there are none, all that the server is told is a note."""
    site = underway.site

    def copy_and_note() -> Unit:
        refused: Sequence[Sequence[int]] = ()
        why: Sequence[str] = ()
        if frame.rows:
            begin_unit(site, underway.tenant, name)
            refused, why = load(site.connection, frame, site.copy_in)
            date_unit(site, underway.tenant, frame.table.name)
        told = "; ".join([*frame.missed, *why])
        unit = Unit(frame.rows, frame.numbered, _spanning(underway, frame), refused, told)
        _note(underway, name, unit)
        return unit

    is_one_statement = not frame.rows and frame.part.cohort.of == 1
    return copy_and_note() if is_one_statement else in_transaction(site, copy_and_note)


def _note(underway: _Tenant, name: str, unit: Unit) -> None:
    site = underway.site
    ledger.note(site.connection, site.plan, underway.tenant.id, name, unit)


def _spanning(underway: _Tenant, frame: Frame) -> dict[str, Array]:
    if frame.part.cohort.of == 1:
        return {}
    hashed = {}
    for unique in spanning.spanning(frame.table, underway.division.once):
        rows = subject_rows(frame, unique)
        columns = [column.take(rows) for column in unique_values(frame, unique)]
        hashed[unique.name] = spanning.hashes(columns, len(rows))
    return hashed


def _count(underway: _Tenant, name: Name, cohort: Cohort, unit: Unit) -> None:
    """Goes on from a unit: the next row's number, and what it may not hold again."""
    underway.first[name] = underway.first.get(name, 0) + unit.numbered
    underway.seen[name] = spanning.joined(underway.seen.get(name, {}), unit.held)
    if cohort.index and unit.rows < unit.numbered / 2:
        underway.full.add(name)


def _forget(underway: _Tenant, tables: Sequence[Name]) -> None:
    """Lets go of rows that no later table of the cohort refers to."""
    for table in tables:
        if table in underway.site.shared or table == underway.site.plan.root:
            continue
        if underway.division.of == 1 or table not in underway.division.once:
            underway.kept.pop(table, None)
