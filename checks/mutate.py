"""Scores the checks: plants faults one at a time and counts those that are found.

In the files a fault is a statement after the last one; in the database it is planted in a
transaction that is rolled back. Found means that there is a finding which there was not before,
of a rule that is about the fault.
What a fault does not touch is left out on both sides, so that a mutant costs milliseconds.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from time import perf_counter
from typing import Literal

import psycopg
from psycopg import sql

from checks import static
from checks.mutation import Operator, Subject, operators
from checks.policy import server, symbolic
from checks.policy.judgment import Judgment
from checks.rules import registry
from harness.catalog import files, live_source
from harness.catalog.model import Catalog, Function, Name, Table
from harness.catalog.source import Privilege, Source
from harness.config import Settings
from harness.db import Connection, Target, connect, is_lost, one_line
from harness.deploy import target
from harness.finding import Finding

Layer = Literal["static", "catalog"]
Verdict = Literal["killed", "survived", "impossible"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault that can be planted: an operator, a table, the SQL."""

    operator: Operator
    table: Name
    statement: sql.Composed

    @property
    def text(self) -> str:
        """The SQL to paste."""
        return f"{self.statement.as_string(None)};"


@dataclass(frozen=True, slots=True)
class Score:
    """What became of a mutant in a layer. `impossible`: PostgreSQL refused to be so mutated."""

    mutant: Mutant
    layer: Layer
    verdict: Verdict
    rules: tuple[str, ...] = ()
    """The rules that found it."""
    detail: str = ""
    seconds: float = 0.0


def sample(catalog: Catalog, settings: Settings, size: int, seed: int) -> list[Mutant]:
    """So many mutants of all that there are, every operator in turn; the same seed gives the same
    ones. An operator that has no table left leaves its turn to the others."""
    tables = [t for n, t in sorted(catalog.tables.items()) if not _is_shared(n, settings)]
    chance = random.Random(seed)  # noqa: S311 - a sample, not a secret
    waiting = [_planted(o, chance.sample(tables, len(tables)), settings) for o in operators()]
    chosen: list[Mutant] = []
    while waiting and len(chosen) < size:
        turn = [(each, next(each, None)) for each in waiting]
        waiting = [each for each, mutant in turn if mutant]
        chosen += [mutant for _, mutant in turn if mutant]
    return chosen[:size]


def _planted(operator: Operator, tables: list[Table], settings: Settings) -> Iterator[Mutant]:
    for table in tables:
        statement = operator.plant(Subject(table, settings.tenancy, settings.roles))
        if statement is not None:
            yield Mutant(operator, table.name, statement)


def _is_shared(name: Name, settings: Settings) -> bool:
    return settings.tenancy.shares(name)


def score_files(
    settings: Settings, size: int, seed: int, on_progress: Progress = lambda *_: None
) -> Iterator[Score]:
    """Plants in the schema's files, as a last statement."""
    draft = files.begin(static.read_texts([settings.schema_dir]), settings.partition_functions)
    whole = _Whole(draft.finish(), settings)
    chosen = sample(whole.source.catalog, settings, size, seed)
    for done, mutant in enumerate(chosen):
        on_progress(done, len(chosen))
        began = perf_counter()
        mutated = files.go_on(draft, {"mutant.sql": mutant.text})
        new = mutated.catalog.tables.keys() - whole.source.catalog.tables.keys()
        names = _touched(whole.source.catalog, mutant.table) | new
        after = _findings(symbolic.judgment(whole.about(mutated, names), settings))
        yield _score(mutant, "static", whole.found(names), after, perf_counter() - began)


def score_database(
    database: Target,
    settings: Settings,
    size: int,
    seed: int,
    owned: str | None = None,
    on_progress: Progress = lambda *_: None,
) -> Iterator[Score]:
    """Plants in a database that is a harness target; every fault is rolled back."""
    with connect(database.admin) as admin:
        target.require(admin, owned)
        whole = _Whole(live_source.read(admin), settings)
    chosen = sample(whole.source.catalog, settings, size, seed)
    for done, mutant in enumerate(chosen):
        on_progress(done, len(chosen))
        # A session that had a tenant never forgets it: each fault gets one of its own.
        with connect(database.admin) as admin:
            yield _plant(admin, mutant, whole, settings)


def _plant(admin: Connection, mutant: Mutant, whole: _Whole, settings: Settings) -> Score:
    began = perf_counter()
    try:
        admin.execute("SET LOCAL lock_timeout = '5s'")
        admin.execute(mutant.statement)
        mutated = live_source.read(admin, _schemas(whole.source.catalog, mutant.table, settings))
        new = _new(whole.source.catalog, mutated.catalog, mutant.table.schema)
        names = _touched(whole.source.catalog, mutant.table) | new
        after = _findings(server.judgment(whole.about(mutated, names), settings, admin))
        return _score(mutant, "catalog", whole.found(names), after, perf_counter() - began)
    except psycopg.Error as error:
        if is_lost(error):
            raise
        return Score(mutant, "catalog", "impossible", detail=one_line(error))
    finally:
        admin.rollback()


def _score(
    mutant: Mutant, layer: Layer, before: list[Finding], after: list[Finding], seconds: float
) -> Score:
    known = {finding.fingerprint for finding in before}
    rules = tuple(sorted({f.rule for f in after if f.fingerprint not in known}))
    verdict: Verdict = "killed" if is_found(mutant.operator, rules) else "survived"
    return Score(mutant, layer, verdict, rules, seconds=seconds)


def is_found(operator: Operator, rules: Collection[str]) -> bool:
    """Whether new findings of these rules are about the operator's fault."""
    return any(rule in rules for rule in operator.rules) if operator.rules else bool(rules)


def _findings(judgment: Judgment) -> list[Finding]:
    return [finding for rule in registry() for finding in rule.findings(judgment)]


def _touched(catalog: Catalog, table: Name) -> frozenset[Name]:
    """The table and what it refers to."""
    known = catalog.tables[table]
    parents = {key.references for key in known.foreign_keys if key.references}
    partitioned = {known.partition_of} if known.partition_of else set()
    return frozenset({table, *parents, *partitioned})


def _new(before: Catalog, after: Catalog, schema: str) -> frozenset[Name]:
    """Tables of a schema that were not there before."""
    return frozenset(n for n in after.tables if n.schema == schema and n not in before.tables)


def _schemas(catalog: Catalog, table: Name, settings: Settings) -> set[str]:
    """Where everything stands that a fault in a table can change."""
    tenancy = settings.tenancy
    context = Name.parse(tenancy.current_tenant.partition("(")[0]).schema
    root = Name.parse(tenancy.root_table).schema
    return {name.schema for name in _touched(catalog, table)} | {context, root}


@dataclass
class _Whole:
    """What stood before a fault, and how to leave out of a source what none can have changed."""

    source: Source
    settings: Settings
    _known: dict[frozenset[Name], list[Finding]] = field(default_factory=dict)

    @cached_property
    def functions(self) -> frozenset[Function]:
        """As a set, for there are some thousand."""
        return frozenset(self.source.catalog.functions)

    @cached_property
    def privileges(self) -> frozenset[Privilege]:
        """As a set, too."""
        return frozenset(self.source.privileges)

    def found(self, names: frozenset[Name]) -> list[Finding]:
        """What the rules find in some tables before anything is planted."""
        if names not in self._known:
            judgment = symbolic.judgment(self.about(self.source, names), self.settings)
            self._known[names] = _findings(judgment)
        return self._known[names]

    def about(self, source: Source, names: frozenset[Name]) -> Source:
        """Some tables, and of everything else what is new or what policies may call."""
        catalog, before = source.catalog, self.source.catalog.views
        kept = names | {Name.parse(self.settings.tenancy.root_table)}
        changed = (f for f in catalog.functions if f not in self.functions or _is_asked_for(f))
        return replace(
            source,
            catalog=replace(
                catalog,
                tables={n: t for n, t in catalog.tables.items() if n in kept},
                views={n: v for n, v in catalog.views.items() if before.get(n) != v},
                functions=tuple(changed),
            ),
            privileges=tuple(p for p in source.privileges if p not in self.privileges),
        )


def _is_asked_for(function: Function) -> bool:
    """Whether rules look at a function whatever changed: policies call it, or it tells of Citus."""
    called = function.signature.endswith("()") and function.language == "sql"
    return called or any(setting.startswith("citus.") for setting in function.settings)
