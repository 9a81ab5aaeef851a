"""Constraints of tables; one that stands inside a column is one of the table too."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Literal

from pglast import ast
from pglast.enums import ConstrType

from harness.catalog.files import names
from harness.catalog.files.draft import Draft
from harness.catalog.files.expressions import deparse, walk
from harness.catalog.files.statements import Statement
from harness.catalog.model import Constraint, Name, Table

Action = Literal["no action", "restrict", "cascade", "set null", "set default"]
_ACTIONS: dict[str, Action] = {
    "a": "no action",
    "r": "restrict",
    "c": "cascade",
    "n": "set null",
    "d": "set default",
}
_TIMING = (
    ConstrType.CONSTR_ATTR_DEFERRABLE,
    ConstrType.CONSTR_ATTR_NOT_DEFERRABLE,
    ConstrType.CONSTR_ATTR_DEFERRED,
    ConstrType.CONSTR_ATTR_IMMEDIATE,
)


def add(
    node: Any, table: Name, statement: Statement, draft: Draft, column: str | None = None
) -> None:
    """Adds the constraint to a table that the draft holds already."""
    if node.contype in _TIMING:
        _defer_last(node, table, draft)
        return
    read = _READERS.get(node.contype)
    if read is None or node.indexname:
        what = f"constraint form {node.contype.name.removeprefix('CONSTR_')}"
        message = f"{what} is not known here; write the constraint out"
        statement.refuse("opaque", table, message, node.location)
    owner = draft.table(table, statement)
    constraint = read(node, owner, (column,) if column else (), statement, draft)
    if not constraint.name:
        taken = {other.name for other in owner.constraints}
        constraint = replace(constraint, name=names.choose(table, constraint, taken))
    draft.change(table, constraints=(*owner.constraints, constraint))
    if constraint.kind == "primary key":
        _forbid_null(table, constraint.columns, draft)


def _key(
    node: Any, table: Table, inline: tuple[str, ...], statement: Statement, draft: Draft
) -> Constraint:
    columns = _names(node.keys) or inline
    draft.require_columns(table, columns, statement, node.location)
    primary = node.contype == ConstrType.CONSTR_PRIMARY
    return Constraint(
        name=node.conname or "",
        kind="primary key" if primary else "unique",
        columns=columns,
        nulls_not_distinct=node.nulls_not_distinct,
        deferrable=node.deferrable,
        location=statement.location(node.location),
    )


def _check(
    node: Any, table: Table, inline: tuple[str, ...], statement: Statement, draft: Draft
) -> Constraint:
    parts = tuple(walk(node.raw_expr))
    draft.resolve(parts, statement)
    columns = _columns_of(parts)
    draft.require_columns(table, columns, statement, node.location)
    return Constraint(
        name=node.conname or "",
        kind="check",
        columns=columns or inline,
        expression=statement.bracketed(node.location),
        deferrable=node.deferrable,
        location=statement.location(node.location),
    )


def _foreign_key(
    node: Any, table: Table, inline: tuple[str, ...], statement: Statement, draft: Draft
) -> Constraint:
    columns = _names(node.fk_attrs) or inline
    draft.require_columns(table, columns, statement, node.location)
    target = names.of_relation(node.pktable)
    referenced_columns = _names(node.pk_attrs)
    if target in draft.tables:
        referenced = draft.tables[target]
        draft.require_columns(referenced, referenced_columns, statement, node.pktable.location)
        key = referenced.primary_key
        referenced_columns = referenced_columns or (key.columns if key else ())
    else:
        draft.note_missing("table", target, statement, node.pktable.location)
    return Constraint(
        name=node.conname or "",
        kind="foreign key",
        columns=columns,
        references=target,
        referenced_columns=referenced_columns,
        on_delete=_ACTIONS[node.fk_del_action],
        on_update=_ACTIONS[node.fk_upd_action],
        deferrable=node.deferrable,
        location=statement.location(node.location),
    )


def _exclude(
    node: Any,
    table: Table,
    inline: tuple[str, ...],  # noqa: ARG001
    statement: Statement,
    draft: Draft,
) -> Constraint:
    draft.resolve(walk(node.exclusions), statement)
    elements = [element for element, _ in node.exclusions]
    columns = [element.name for element in elements if element.name]
    draft.require_columns(table, columns, statement, node.location)
    return Constraint(
        name=node.conname or "",
        kind="exclude",
        columns=tuple(element.name or deparse(element.expr) for element in elements),
        expression=statement.bracketed(node.location),
        operators=tuple(operator[-1].sval for _, operator in node.exclusions),
        deferrable=node.deferrable,
        location=statement.location(node.location),
    )


Reader = Callable[[Any, Table, tuple[str, ...], Statement, Draft], Constraint]
_READERS: dict[ConstrType, Reader] = {
    ConstrType.CONSTR_PRIMARY: _key,
    ConstrType.CONSTR_UNIQUE: _key,
    ConstrType.CONSTR_CHECK: _check,
    ConstrType.CONSTR_FOREIGN: _foreign_key,
    ConstrType.CONSTR_EXCLUSION: _exclude,
}


def _names(strings: Any) -> tuple[str, ...]:
    return tuple(string.sval for string in strings or ())


def _columns_of(parts: Iterable[Any]) -> tuple[str, ...]:
    """Columns that an expression names, each once, in the order in which they appear."""
    fields = (part.fields[-1] for part in parts if type(part) is ast.ColumnRef)
    return tuple(dict.fromkeys(str(f.sval) for f in fields if type(f) is ast.String))


def _forbid_null(table: Name, columns: tuple[str, ...], draft: Draft) -> None:
    known = draft.tables[table].columns
    nullable = [name for name in columns if not known[name].not_null]
    if nullable:
        changed = {name: replace(known[name], not_null=True) for name in nullable}
        draft.change(table, columns={**known, **changed})


def _defer_last(node: Any, table: Name, draft: Draft) -> None:
    """Inside a column DEFERRABLE is a node of its own, after the constraint that it is about."""
    *others, last = draft.tables[table].constraints
    deferrable = node.contype != ConstrType.CONSTR_ATTR_NOT_DEFERRABLE
    draft.change(table, constraints=(*others, replace(last, deferrable=deferrable)))
