"""From a schema to settings for it, each with what it was inferred from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from checks.proposal.compared import Comparison, Session, comparisons, session_of
from harness.catalog.model import Name, Table
from harness.catalog.source import Source
from harness.config import Roles

_USUAL = re.compile(
    r"(tenant|org|organi[sz]ation|account|company|business|workspace|team|shop|store|customer"
    r"|client|merchant|school|clinic|firm)_?(id|key|uuid|slug|name)?",
    re.IGNORECASE,
)
_WRITES = frozenset({"insert", "update", "delete"})
_PLATFORM = ("public", "postgres", "service_role", "supabase_admin", "dashboard_user")
"""Roles that are no application's: everybody, and those of platforms above row security."""


@dataclass(frozen=True, slots=True)
class Told:
    """A value, and what it was inferred from."""

    value: str
    reason: str
    sure: bool = True
    """Whether something says so; otherwise it is a guess to be looked at."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Settings for a schema."""

    tables: int
    column: Told
    type: Told
    session: Session
    current_tenant: Told
    set_tenant: Told
    root_table: Told
    shared: tuple[Name, ...]
    """Tables without the column and without a way to it."""
    children: tuple[tuple[Name, Name], ...]
    """Tables without the column that refer to one that has it, and that one."""
    app: Told
    readonly: Told
    others: tuple[str, ...]
    owner: Told


def propose(source: Source, known: Roles) -> Proposal | None:
    """Settings for what files or a database hold; None where there is no table.

    Roles that the settings know as others than an application's are none.
    """
    catalog = source.catalog
    tables = [table for table in catalog.tables.values() if table.partition_of is None]
    if not tables:
        return None
    found = list(comparisons(catalog))
    column = _column(tables, found)
    type = _type(column.value, tables)
    session_text, session, current = _session(column.value, type.value, found, source)
    root = _root(column.value, tables)
    reached = _reached(column.value, root.value, tables)
    without = [t for t in tables if column.value not in t.columns and str(t.name) != root.value]
    app, readonly, others, owner = _roles(source, known)
    return Proposal(
        tables=len(tables),
        column=column,
        type=type,
        session=session,
        current_tenant=current,
        set_tenant=_set_tenant(session, session_text, source),
        root_table=root,
        shared=tuple(t.name for t in without if t.name not in reached),
        children=tuple((t.name, reached[t.name]) for t in without if t.name in reached),
        app=app,
        readonly=readonly,
        others=others,
        owner=owner,
    )


def _column(tables: list[Table], found: list[Comparison]) -> Told:
    """The column that policies compare with the session on most tables; else the usual name that
    most tables have."""
    total = len(tables)
    have = Counter(column for table in tables for column in table.columns)
    compared = Counter(c for _, c in {(each.table, each.column) for each in found})
    usual = {name: number for name, number in have.items() if _USUAL.fullmatch(name)}
    compared = Counter({name: n for name, n in compared.items() if name != "id"})
    scores = {name: 3 * n + have[name] * (name in usual) for name, n in compared.items()}
    if scores:
        name = max(scores, key=lambda each: (scores[each], have[each]))
        told = f"in {have[name]} of {total} tables; policies of {compared[name]} compare it"
        return Told(name, told)
    if usual:
        name = max(usual, key=lambda each: usual[each])
        told = f"in {have[name]} of {total} tables; no policy compares it with the session"
        return Told(name, told, sure=2 * have[name] >= total)
    keys = {name: n for name, n in have.items() if name.lower().endswith("id") and name != "id"}
    name = max(keys or have, key=lambda each: have[each])
    return Told(name, f"a guess: in {have[name]} of {total} tables", sure=False)


def _type(column: str, tables: list[Table]) -> Told:
    types = Counter(table.columns[column].type for table in tables if column in table.columns)
    (type, number), *rest = types.most_common()
    others = f"; elsewhere {', '.join(other for other, _ in rest)}" if rest else ""
    return Told(type, f"in {number} of {types.total()} tables with {column}{others}", not rest)


def _session(
    column: str, type: str, found: list[Comparison], source: Source
) -> tuple[str, Session, Told]:
    sides = Counter(each.session for each in found if each.column == column)
    if not sides:
        guess = f"nullif(current_setting('app.{column}', true), ''){_cast(type)}"
        reason = f"no policy compares {column} with what the session says"
        return "", Session(f"app.{column}"), Told(guess, reason, sure=False)
    (text, number), *rest = sides.most_common()
    reason = f"what policies compare {column} with on {number} of {sides.total()} tables"
    if rest:
        reason += f"; elsewhere {rest[0][0]}"
    direct = text not in {each.session for each in found if each.by_membership}
    if not direct:
        reason += "; it asks other rows, so that only a database can tell what it admits"
    return text, session_of(text, source), Told(text, reason, direct)


def _cast(type: str) -> str:
    """What makes a column's type of a setting, which is text."""
    return "" if type == "text" or type.startswith("character") else f"::{type}"


def _set_tenant(session: Session, text: str, source: Source) -> Told:
    if session.by_role:
        return Told("SELECT set_config('role', %s, true)", "roles are tenants")
    if not session.setting:
        reason = f"which setting {text or 'the session'} reads is not known"
        return Told("SELECT set_config('app.tenant', %s::text, true)", reason, sure=False)
    setter = _setter(session.setting, source)
    if setter is not None:
        return Told(f"SELECT {setter}(%s)", f"{setter} sets {session.setting}")
    value = "%s::text"  # whatever type a caller gives the tenant, set_config() takes text alone
    for key in reversed(session.claim.split(".") if session.claim else ()):
        value = f"json_build_object('{key}', {value})"
    value = f"{value}::text" if session.claim else value
    statement = f"SELECT set_config('{session.setting}', {value}, true)"
    return Told(statement, "for one transaction; no function of the schema does it")


def _setter(setting: str, source: Source) -> Name | None:
    """A function of one argument that sets the setting for a transaction."""
    writes = rf"set_config\s*\(\s*'{re.escape(setting)}'|SET\s+LOCAL\s+{re.escape(setting)}\b"
    for function in source.catalog.functions:
        arguments = function.signature.partition("(")[2].rstrip(")")
        one = bool(arguments) and "," not in arguments
        if one and re.search(writes, source.definitions.get(function.signature, ""), re.IGNORECASE):
            return function.name
    return None


def _root(column: str, tables: list[Table]) -> Told:
    targets = Counter(
        str(key.references)
        for table in tables
        for key in table.foreign_keys
        if key.columns == (column,)
    )
    if targets:
        name, number = targets.most_common(1)[0]
        return Told(name, f"foreign keys of {column} alone refer to it from {number} tables")
    stem = re.sub(r"_?(id|key|uuid)$", "", column, flags=re.IGNORECASE).lower()
    names = (stem, f"{stem}s", f"{stem}es", re.sub("y$", "ies", stem))
    named = next((t for t in tables if t.name.name.lower() in names), None)
    keyed = next((t for t in tables if t.primary_key and t.primary_key.columns == (column,)), None)
    if keyed is not None and named in (None, keyed):
        return Told(str(keyed.name), f"its primary key is {column}; nothing refers to it")
    if named is not None:
        return Told(str(named.name), "by its name alone; nothing refers to it", sure=False)
    return Told(f"public.{stem or 'tenant'}", "no table looks like that of tenants", sure=False)


def _reached(column: str, root: str, tables: list[Table]) -> dict[Name, Name]:
    """Tables without the column from which foreign keys lead to one with it, and that one."""
    inside = {t.name for t in tables if column in t.columns or str(t.name) == root}
    reached: dict[Name, Name] = {}
    while True:
        further = {
            table.name: key.references
            for table in tables
            if table.name not in inside and str(table.name) != root
            for key in table.foreign_keys
            if key.references in inside
        }
        if not further:
            return reached
        reached |= {name: target for name, target in further.items() if target is not None}
        inside |= further.keys()


def _roles(source: Source, known: Roles) -> tuple[Told, Told, tuple[str, ...], Told]:
    owners = Counter(t.owner for t in source.catalog.tables.values() if t.owner)
    owner = owners.most_common(1)[0][0] if owners else "postgres"
    above = {n for n, role in source.roles.items() if role.superuser or role.bypasses_row_security}
    above |= {*owners, *_PLATFORM, known.owner, known.loader, known.matview_owner, known.monitor}
    writes, reads = Counter[str](), Counter[str]()
    for role, privileges in _granted(source):
        if role not in above and not role.startswith("pg_"):
            writes[role] += bool(_WRITES & privileges)
            reads[role] += "select" in privileges
    ranked = [name for name, _ in (writes + reads).most_common()]
    if not ranked:
        app = Told("app_user", "no role is granted a table or named by a policy", sure=False)
        return app, Told("app_user", "the same", sure=False), (), _owner(owner, owners)
    app = Told(ranked[0], f"may write {writes[ranked[0]]} and read {reads[ranked[0]]} tables")
    only = [name for name in ranked[1:] if not writes[name]]
    readonly = (
        Told(only[0], "reads and never writes") if only else Told(ranked[0], "no other reads")
    )
    rest = tuple(name for name in ranked[1:] if name != readonly.value)
    return app, readonly, rest, _owner(owner, owners)


def _owner(owner: str, owners: Counter[str]) -> Told:
    return Told(owner, f"owns {owners[owner]} tables" if owners else "a guess", bool(owners))


def _granted(source: Source) -> Iterator[tuple[str, frozenset[str]]]:
    """Roles and what they may do with a table; a policy TO a role speaks of its command."""
    for table in source.catalog.tables.values():
        for grant in table.grants:
            yield grant.role, grant.privileges
        for policy in table.policies:
            everything = ("select", "insert", "update", "delete")
            commands: Iterable[str] = everything if policy.command == "all" else (policy.command,)
            for role in policy.roles:
                yield role, frozenset(commands)
