"""Where files and database differ: what was reviewed is not what runs.

Both are read into the same model, so that each aspect is compared as a value. Partitions are
made at run time and belong to no file; what PostgreSQL spells in its own way (expressions of
CHECKs, of indexes, bodies of functions) is compared by name and kind alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from harness.catalog.files.comparable import comparable
from harness.catalog.files.privileges import EVERYTHING
from harness.catalog.model import Catalog, Constraint, Function, Table, View
from harness.catalog.source import Privilege, Source
from harness.deploy import translation
from harness.finding import Finding, Location, Severity
from harness.report.described import DRIFT

RULE = DRIFT.id
_WHY = "What was reviewed is not what runs: somebody changed one without the other."
Aspect = Callable[[Any], frozenset[Hashable]]


def drift(files: Source, database: Source, owner: str) -> list[Finding]:
    """Every difference between what files say and what a database holds, as a finding.

    Grants to the owner's role do not count: deploy lets it read what it handed over.
    """
    written, deployed = files.catalog, database.catalog
    tables = _by_name(written.tables)
    had = {name: _without_left_out(table, database) for name, table in tables.items()}
    return [
        *_compare("table", had, _made(deployed), TABLE_ASPECTS),
        *(found for table in tables.values() for found in _left_out(table, database)),
        *_compare(
            "view",
            _by_name(written.views),
            _by_name(deployed.views),
            {"options": view_options, "grants": lambda view: view_grants(view, owner)},
        ),
        *_compare(
            "function",
            _translated(files, database),
            {function.signature: function for function in deployed.functions},
            {"properties": function_properties},
        ),
        *_privileges(files, database, owner),
    ]


def _translated(files: Source, database: Source) -> dict[str, Function]:
    """The functions of the files; a cluster has some that are written in SQL in PL/pgSQL, and none
    that wishes for generic plans."""
    there = {function.signature: function.language for function in database.catalog.functions}
    return {
        function.signature: _on_cluster(function, there.get(function.signature, ""))
        if database.has_citus
        else function
        for function in files.catalog.functions
    }


def _on_cluster(function: Function, language: str) -> Function:
    both = (function.language, language)
    return replace(
        function,
        language="plpgsql" if both == ("sql", "plpgsql") else function.language,
        settings=tuple(each for each in function.settings if each != translation.GENERIC),
    )


def _left_out(table: Table, database: Source) -> Iterator[Finding]:
    """Constraints that the cluster cannot have, as deploy told."""
    for constraint in table.constraints:
        if why := _why_left_out(constraint, database):
            message = f"{table.name} has no {constraint.kind} {constraint.name}: {why}"
            yield Finding(
                RULE, Severity.INFO, str(table.name), message, _WHY, location=constraint.location
            )


def _without_left_out(table: Table, database: Source) -> Table:
    kept = (each for each in table.constraints if not _why_left_out(each, database))
    return replace(table, constraints=tuple(kept))


def _why_left_out(constraint: Constraint, database: Source) -> str:
    """Deploy names a file by its path below the schema's directory."""
    place = constraint.location
    for told, why in database.left_out.items() if place else ():
        path, _, line = told.rpartition(":")
        if place and place.line == int(line) and f"/{place.file}".endswith(f"/{path}"):
            return why
    return ""


def _by_name(things: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): thing for name, thing in things.items()}


def _made(deployed: Catalog) -> dict[str, Table]:
    return {str(name): table for name, table in deployed.tables.items() if not table.partition_of}


def _compare(
    kind: str,
    written: Mapping[str, Any],
    deployed: Mapping[str, Any],
    aspects: Mapping[str, Aspect],
) -> Iterator[Finding]:
    for name, thing in written.items():
        if name in deployed:
            for aspect, of in aspects.items():
                what = f"{aspect} of {name}"
                yield from _differ(name, what, of(thing), of(deployed[name]), thing.location)
        elif getattr(thing, "partition_of", None) is None:
            yield _finding(name, f"{kind} {name} is in the files alone", thing.location)
    for name in deployed.keys() - written.keys():
        yield _finding(name, f"{kind} {name} is in the database alone", None)


def _privileges(files: Source, database: Source, owner: str) -> Iterator[Finding]:
    """What roles may do with schemas, sequences and functions, and with what is created later; a
    function that one side alone has is told already."""
    written, deployed = _held(files, owner), _held(database, owner)
    places = {(str(p.kind), p.object): p.location for p in files.privileges}
    known, there = ({f.signature for f in s.catalog.functions} for s in (files, database))
    for kind, subject in dict.fromkeys((*written, *deployed)):
        if kind != "function" or subject in known & there:
            key = (kind, subject)
            what = f"privileges on {subject if kind == 'default' else f'{kind} {subject}'}"
            one, other = (frozenset(held.get(key, ())) for held in (written, deployed))
            yield from _differ(subject, what, one, other, places.get(key))


def _held(source: Source, owner: str) -> dict[tuple[str, str], set[tuple[str, str]]]:
    """By kind and name of a thing, each privilege with the role that holds it."""
    held: defaultdict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
    for privilege in source.privileges:
        if privilege.role != owner:
            named = {(privilege.role, each) for each in _spelled_out(privilege)}
            held[privilege.kind, privilege.object] |= named
    return held


def _spelled_out(privilege: Privilege) -> frozenset[str]:
    """Each of ALL, which files may say of what is created later; a database never does."""
    if "all" not in privilege.privileges:
        return privilege.privileges
    kind = privilege.object.removeprefix("every later ").partition(" ")[0]
    return EVERYTHING.get(kind, frozenset({"usage"}))


def _differ(
    name: str,
    what: str,
    written: frozenset[Hashable],
    deployed: frozenset[Hashable],
    location: Location | None,
) -> Iterator[Finding]:
    if written != deployed:
        only = [f"files alone: {_told(written - deployed)}"] if written - deployed else []
        only += [f"database alone: {_told(deployed - written)}"] if deployed - written else []
        yield _finding(name, f"{what} differ; {'; '.join(only)}", location)


def _told(things: frozenset[Hashable]) -> str:
    return ", ".join(sorted(_words(thing) for thing in things))


def _words(thing: Any) -> str:
    if isinstance(thing, tuple | frozenset) and not isinstance(thing, str):
        parts = sorted(map(str, thing)) if isinstance(thing, frozenset) else map(_words, thing)
        return " ".join(part for part in parts if part)
    return str(thing)


def _finding(name: str, message: str, location: Location | None) -> Finding:
    return Finding(RULE, Severity.ERROR, name, message, _WHY, location=location)


def row_security(table: Table) -> frozenset[Hashable]:
    """Whether it is enabled and forced."""
    said = {"enabled": table.row_security, "forced": table.force_row_security}
    return frozenset(word for word, holds in said.items() if holds)


def policies(table: Table) -> frozenset[Hashable]:
    """Policies; expressions in one spelling."""
    return frozenset(
        (
            policy.name,
            "permissive" if policy.permissive else "restrictive",
            policy.command,
            policy.roles,
            comparable(policy.using or ""),
            comparable(policy.check or ""),
        )
        for policy in table.policies
    )


def grants(table: Table) -> frozenset[Hashable]:
    """A column privilege is one of each column, however many a GRANT names."""
    return frozenset((g.role, g.privileges, c) for g in table.grants for c in g.columns or ("",))


def columns(table: Table) -> frozenset[Hashable]:
    """Columns by name and type, and what they hold by themselves."""
    return frozenset(
        (
            column.name,
            column.type,
            "NOT NULL" if column.not_null else "",
            column.identity or "",
            "DEFAULT" if column.default else "",
            "GENERATED" if column.generated else "",
        )
        for column in table.columns.values()
    )


def constraints(table: Table) -> frozenset[Hashable]:
    """Constraints; PostgreSQL lists the columns of a CHECK by position, and no expressions."""
    return frozenset(map(_constraint, table.constraints))


def _constraint(constraint: Constraint) -> Hashable:
    plain = tuple(column for column in constraint.columns if "(" not in column)
    return (
        constraint.name,
        constraint.kind,
        tuple(sorted(plain)) if constraint.kind == "check" else plain,
        str(constraint.references or ""),
        constraint.referenced_columns,
        constraint.on_delete,
        constraint.on_update,
        "deferrable" if constraint.deferrable else "",
        constraint.operators,
        "NULLS NOT DISTINCT" if constraint.nulls_not_distinct else "",
    )


def indexes(table: Table) -> frozenset[Hashable]:
    """Indexes by name, leading column and kind."""
    return frozenset(
        (
            index.name,
            str(len(index.columns)),
            _column(index.columns[0]),
            "unique" if index.unique else "",
            "partial" if index.predicate else "",
            index.method,
        )
        for index in table.indexes
    )


def _column(written: str) -> str:
    """A column by its name, an expression in one spelling."""
    return written if written.isidentifier() else comparable(written)


def triggers(table: Table) -> frozenset[Hashable]:
    """Triggers with what they call."""
    return frozenset(
        (t.name, t.timing, t.events, t.level, str(t.function), t.arguments) for t in table.triggers
    )


def view_options(view: View) -> frozenset[Hashable]:
    """Kind and options."""
    kind = "materialized" if view.materialized else "plain"
    return frozenset({kind, *view.options.items()})


def view_grants(view: View, owner: str) -> frozenset[Hashable]:
    """Grants to others than the owner's role."""
    return frozenset((g.role, g.privileges) for g in view.grants if g.role != owner)


def function_properties(function: Function) -> frozenset[Hashable]:
    """What decides with whose rights and how often it runs."""
    return frozenset(
        {
            function.language,
            f"returns {function.returns}",
            "SECURITY DEFINER" if function.security_definer else "SECURITY INVOKER",
            function.volatility,
            "LEAKPROOF" if function.leakproof else "",
            *(f"SET {setting.lower()}" for setting in function.settings),
        }
    )


TABLE_ASPECTS: Mapping[str, Aspect] = {
    "row security": row_security,
    "policies": policies,
    "grants": grants,
    "columns": columns,
    "constraints": constraints,
    "indexes": indexes,
    "triggers": triggers,
}
