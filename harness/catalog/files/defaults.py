"""ALTER DEFAULT PRIVILEGES: what every later object is granted, and to whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pglast.enums import ObjectType

from harness.catalog.files import names, privileges
from harness.catalog.files.draft import Default, Draft
from harness.catalog.files.statements import Statement
from harness.catalog.model import Grant, Name
from harness.catalog.source import Privilege
from harness.finding import Location

_KINDS: dict[ObjectType, Literal["table", "function", "sequence"]] = {
    ObjectType.OBJECT_TABLE: "table",
    ObjectType.OBJECT_FUNCTION: "function",
    ObjectType.OBJECT_SEQUENCE: "sequence",
}


def read(node: Any, statement: Statement, draft: Draft) -> None:
    """Notes what is handed out, and that what comes later will have it."""
    action = node.action
    named = [o.arg for o in node.options or () if o.defname == "schemas"]
    schemas = [schema.sval for schema in named[0]] if named else [None]
    for schema in schemas:
        for role in map(names.of_role, action.grantees):
            if action.is_grant:
                _give(action, schema, role, statement, draft)
            else:
                _take(action, schema, role, draft)


def _give(action: Any, schema: str | None, role: str, statement: Statement, draft: Draft) -> None:
    kind = action.objtype.name.removeprefix("OBJECT_").lower()
    told = f"every later {kind}" + (f" in schema {schema}" if schema else "")
    named = privileges.named(action.privileges, frozenset({"all"}))
    place = statement.location()
    draft.privileges.append(Privilege("default", told, role, named, place))
    if action.objtype in _KINDS:
        all_of = privileges.EVERYTHING[_KINDS[action.objtype]]
        given = privileges.named(action.privileges, all_of)
        draft.defaults.append(Default(_KINDS[action.objtype], schema, role, given))


def _take(action: Any, schema: str | None, role: str, draft: Draft) -> None:
    """One of a schema takes back only what was given for that schema: EXECUTE of PUBLIC, which
    PostgreSQL gives everywhere, stays."""
    kind = _KINDS.get(action.objtype)
    if kind is None:
        return
    taken = privileges.named(action.privileges, privileges.EVERYTHING[kind])
    if (kind, schema, role) == ("function", None, "public"):
        draft.public_executes = draft.public_executes and "execute" not in taken
    key = (kind, schema, role)
    draft.defaults = [
        Default(*d[:3], d.privileges - taken) if d[:3] == key else d for d in draft.defaults
    ]
    draft.privileges = [
        p
        for p in draft.privileges
        if p.kind != "default"
        or (p.role, _schema(p)) != (role, schema)
        or f"every later {kind}" not in p.object
        or p.privileges - taken - {"all"}
    ]


def _schema(privilege: Privilege) -> str | None:
    return privilege.object.partition(" in schema ")[2] or None


def of_table(name: Name, place: Location, draft: Draft) -> tuple[Grant, ...]:
    """What a table or view has been granted when it is created."""
    grants: list[Grant] = []
    for default in _applying("table", name.schema, draft):
        grants = privileges.give(grants, Grant(default.role, default.privileges, (), place))
    return tuple(grants)


def of_function(schema: str, signature: str, place: Location, draft: Draft) -> list[Privilege]:
    """What may be done with a function when it is created; EXECUTE by everybody, mostly."""
    roles = {d.role: None for d in _applying("function", schema, draft)}
    if draft.public_executes:
        roles = {"public": None, **roles}
    execute = frozenset({"execute"})
    return [Privilege("function", signature, role, execute, place) for role in roles]


def of_sequence(name: Name, place: Location, draft: Draft) -> list[Privilege]:
    """What may be done with a sequence when it is created."""
    return [
        Privilege("sequence", str(name), d.role, d.privileges, place)
        for d in _applying("sequence", name.schema, draft)
    ]


def _applying(kind: str, schema: str, draft: Draft) -> Iterator[Default]:
    for default in draft.defaults:
        if default.kind == kind and default.schema in (None, schema) and default.privileges:
            yield default
