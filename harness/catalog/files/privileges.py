"""GRANT, REVOKE, and settings of roles."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Literal

from pglast.enums import GrantTargetType, ObjectType

from harness.catalog.files import names
from harness.catalog.files.draft import Draft
from harness.catalog.files.statements import Statement
from harness.catalog.model import Grant, Name
from harness.catalog.source import Privilege, RoleSetting

_ALL_ON_RELATION = frozenset(
    {"select", "insert", "update", "delete", "truncate", "references", "trigger", "maintain"}
)
EVERYTHING = {
    "table": _ALL_ON_RELATION,
    "schema": frozenset({"usage", "create"}),
    "function": frozenset({"execute"}),
    "sequence": frozenset({"usage", "select", "update"}),
}
_WITHOUT_ROWS = (
    ObjectType.OBJECT_DATABASE,
    ObjectType.OBJECT_DOMAIN,
    ObjectType.OBJECT_LANGUAGE,
    ObjectType.OBJECT_TYPE,
    ObjectType.OBJECT_FDW,
    ObjectType.OBJECT_FOREIGN_SERVER,
)
_ROUTINES = (
    ObjectType.OBJECT_FUNCTION,
    ObjectType.OBJECT_PROCEDURE,
    ObjectType.OBJECT_ROUTINE,
)


def read(node: Any, statement: Statement, draft: Draft) -> None:
    """Gives or takes privileges on the objects that the statement names one by one."""
    if node.targtype == GrantTargetType.ACL_TARGET_ALL_IN_SCHEMA:
        _on_all(node, statement, draft)
        return
    if node.grant_option:
        message = "WITH GRANT OPTION lets a role give rights away; leave it out"
        statement.refuse("opaque", _roles(node)[0], message)
    if node.objtype in _WITHOUT_ROWS:
        return
    reader = _READERS.get(node.objtype)
    if reader is None:
        kind = node.objtype.name.removeprefix("OBJECT_").lower()
        message = f"privileges on a {kind} are not known here; leave them out"
        statement.refuse("opaque", kind, message)
    for item in node.objects:
        reader(item, node, statement, draft)


def _on_all(node: Any, statement: Statement, draft: Draft) -> None:
    """ALL … IN SCHEMA: of what is there now; of what comes later it says nothing."""
    schemas = {string.sval for string in node.objects}
    if node.objtype == ObjectType.OBJECT_TABLE:
        for name in [n for n in (*draft.tables, *draft.views) if n.schema in schemas]:
            _change_relation(name, node, statement, draft)
    elif node.objtype == ObjectType.OBJECT_SEQUENCE:
        for name in [n for n in draft.sequences if n.schema in schemas]:
            _change("sequence", str(name), node, statement, draft)
    else:
        for function in [f for f in draft.functions.values() if f.name.schema in schemas]:
            _change("function", function.signature, node, statement, draft)


def read_setting(node: Any, statement: Statement, draft: Draft) -> None:
    """Notes a setting that ALTER ROLE or ALTER DATABASE gives to every new session."""
    role = getattr(node, "role", None)
    owner = names.of_role(role) if role else getattr(node, "dbname", None) or "every role"
    name = node.setstmt.name or "every setting"
    draft.role_settings.append(RoleSetting(owner, name, statement.location()))


def _on_relation(item: Any, node: Any, statement: Statement, draft: Draft) -> None:
    name = names.of_relation(item)
    if name in draft.sequences:
        _on_sequence(item, node, statement, draft)
    else:
        _change_relation(name, node, statement, draft)


def _change_relation(name: Name, node: Any, statement: Statement, draft: Draft) -> None:
    grants = list(_grants(name, statement, draft))
    change = give if node.is_grant else _take
    for role in _roles(node):
        for columns, privileges in _by_columns(node.privileges):
            grants = change(grants, Grant(role, privileges, columns, statement.location()))
    if name in draft.foreign_tables:
        draft.foreign_tables[name] = tuple(grants)
    elif name in draft.views:
        draft.views[name] = replace(draft.views[name], grants=tuple(grants))
    else:
        draft.change(name, grants=tuple(grants))


def _grants(name: Name, statement: Statement, draft: Draft) -> tuple[Grant, ...]:
    if name in draft.foreign_tables:
        return draft.foreign_tables[name]
    return draft.views[name].grants if name in draft.views else draft.table(name, statement).grants


def _by_columns(privileges: Any) -> Iterable[tuple[tuple[str, ...], frozenset[str]]]:
    """Privileges by the columns that they are limited to, none for the whole relation."""
    if privileges is None:
        return [((), _ALL_ON_RELATION)]
    found: dict[tuple[str, ...], frozenset[str]] = {}
    for privilege in privileges:
        columns = tuple(column.sval for column in privilege.cols or ())
        named = _ALL_ON_RELATION if privilege.priv_name is None else {privilege.priv_name}
        found[columns] = found.get(columns, frozenset()) | named
    return found.items()


def give(grants: list[Grant], given: Grant) -> list[Grant]:
    """One Grant per role and columns; a later GRANT adds to it and is where it stands."""
    key = (given.role, given.columns)
    before = [grant for grant in grants if (grant.role, grant.columns) == key]
    privileges = given.privileges.union(*(grant.privileges for grant in before))
    rest = [grant for grant in grants if grant not in before]
    return [*rest, replace(given, privileges=privileges)]


def _take(grants: list[Grant], taken: Grant) -> list[Grant]:
    """Taking from the whole relation takes from its columns too, as PostgreSQL does."""
    left = []
    for grant in grants:
        hit = grant.role == taken.role and taken.columns in ((), grant.columns)
        privileges = grant.privileges - taken.privileges if hit else grant.privileges
        if privileges:
            left.append(replace(grant, privileges=privileges))
    return left


def _on_schema(item: Any, node: Any, statement: Statement, draft: Draft) -> None:
    draft.require_schema(item.sval, statement)
    _change("schema", item.sval, node, statement, draft)


def _on_function(item: Any, node: Any, statement: Statement, draft: Draft) -> None:
    function = draft.functions[draft.function(item, statement)]
    _change("function", function.signature, node, statement, draft)


def _on_sequence(item: Any, node: Any, statement: Statement, draft: Draft) -> None:
    _change("sequence", str(names.of_relation(item)), node, statement, draft)


def _change(
    kind: Literal["schema", "function", "sequence"],
    subject: str,
    node: Any,
    statement: Statement,
    draft: Draft,
) -> None:
    privileges = named(node.privileges, EVERYTHING[kind])
    for role in _roles(node):
        if node.is_grant:
            draft.privileges.append(
                Privilege(kind, subject, role, privileges, statement.location())
            )
        else:
            draft.privileges = _without(draft.privileges, kind, subject, role, privileges)


def _without(
    known: list[Privilege], kind: str, subject: str, role: str, taken: frozenset[str]
) -> list[Privilege]:
    def left(held: Privilege) -> Privilege:
        hit = (held.kind, held.object, held.role) == (kind, subject, role)
        return replace(held, privileges=held.privileges - taken) if hit else held

    return [held for held in map(left, known) if held.privileges]


def named(nodes: Any, everything: frozenset[str]) -> frozenset[str]:
    """The privileges that a statement lists; all of them for ALL."""
    if nodes is None:
        return everything
    return frozenset(node.priv_name for node in nodes)


def _roles(node: Any) -> list[str]:
    return [names.of_role(role) for role in node.grantees]


Reader = Callable[[Any, Any, Statement, Draft], None]
_READERS: dict[ObjectType, Reader] = {
    ObjectType.OBJECT_TABLE: _on_relation,
    ObjectType.OBJECT_SCHEMA: _on_schema,
    ObjectType.OBJECT_SEQUENCE: _on_sequence,
    **dict.fromkeys(_ROUTINES, _on_function),
}
