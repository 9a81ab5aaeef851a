"""Columns of CREATE TABLE and ALTER TABLE … ADD COLUMN."""

from __future__ import annotations

from typing import Any, Literal

from pglast.enums import ConstrType

from harness.catalog.files import constraints, definitions, names, types
from harness.catalog.files.draft import Draft
from harness.catalog.files.expressions import walk
from harness.catalog.files.statements import Statement
from harness.catalog.model import Column, Name

IDENTITY: dict[str, Literal["always", "by default"]] = {"a": "always", "d": "by default"}
_SERIAL = {"serial": "integer", "bigserial": "bigint", "smallserial": "smallint"}
_SERIAL |= {"serial4": "integer", "serial8": "bigint", "serial2": "smallint"}
_NOT_NULL = (ConstrType.CONSTR_NOTNULL, ConstrType.CONSTR_PRIMARY, ConstrType.CONSTR_IDENTITY)
_FACTS = (
    ConstrType.CONSTR_NULL,
    ConstrType.CONSTR_NOTNULL,
    ConstrType.CONSTR_DEFAULT,
    ConstrType.CONSTR_GENERATED,
    ConstrType.CONSTR_IDENTITY,
)


def read(node: Any, table: Name, statement: Statement, draft: Draft) -> Column:
    """The column that a ColumnDef defines, without its keys and checks; a serial column is a number
    that a sequence of its own gives."""
    draft.resolve_type(node.typeName, statement)
    written = node.constraints or ()
    expressions: dict[ConstrType, str] = {}
    identity = None
    for constraint in written:
        if constraint.contype == ConstrType.CONSTR_IDENTITY:
            identity = IDENTITY[constraint.generated_when]
        elif constraint.contype in _FACTS and constraint.raw_expr is not None:
            expressions[constraint.contype] = _expression(constraint, written, statement)
            draft.resolve(walk(constraint.raw_expr), statement)
    kind, serial = types.spell(node.typeName), False
    if kind in _SERIAL:
        kind, serial = _SERIAL[kind], True
        sequence = names.choose_sequence(table, node.colname, draft.sequences)
        definitions.add_sequence(sequence, statement, draft)
        expressions[ConstrType.CONSTR_DEFAULT] = f"nextval('{sequence}'::regclass)"
    return Column(
        name=node.colname,
        type=kind,
        not_null=serial or any(c.contype in _NOT_NULL for c in written),
        default=expressions.get(ConstrType.CONSTR_DEFAULT),
        generated=expressions.get(ConstrType.CONSTR_GENERATED),
        identity=identity,
        location=statement.location(node.location),
    )


def add_constraints(node: Any, table: Name, statement: Statement, draft: Draft) -> None:
    """The keys and checks that stand inside a ColumnDef."""
    for constraint in node.constraints or ():
        if constraint.contype not in _FACTS:
            constraints.add(constraint, table, statement, draft, column=node.colname)


def _expression(constraint: Any, written: Any, statement: Statement) -> str:
    """DEFAULT ends where the next constraint of the column begins, the others with a bracket."""
    if constraint.contype != ConstrType.CONSTR_DEFAULT:
        return statement.bracketed(constraint.location)
    start = constraint.location + len("DEFAULT")
    later = (other.location for other in written if other.location > start)
    return statement.file.expression(start, min(later, default=statement.stop))
