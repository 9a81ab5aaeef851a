"""Columns of CREATE TABLE and ALTER TABLE … ADD COLUMN."""

from __future__ import annotations

from typing import Any, Literal

from pglast.enums import ConstrType

from harness.catalog.files import constraints, types
from harness.catalog.files.draft import Draft
from harness.catalog.files.expressions import walk
from harness.catalog.files.statements import Statement
from harness.catalog.model import Column, Name

IDENTITY: dict[str, Literal["always", "by default"]] = {"a": "always", "d": "by default"}
_SERIAL = ("serial", "bigserial", "smallserial")
_NOT_NULL = (ConstrType.CONSTR_NOTNULL, ConstrType.CONSTR_PRIMARY, ConstrType.CONSTR_IDENTITY)
_FACTS = (
    ConstrType.CONSTR_NULL,
    ConstrType.CONSTR_NOTNULL,
    ConstrType.CONSTR_DEFAULT,
    ConstrType.CONSTR_GENERATED,
    ConstrType.CONSTR_IDENTITY,
)


def read(node: Any, statement: Statement, draft: Draft) -> Column:
    """The column that a ColumnDef defines, without its keys and checks."""
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
    kind = types.spell(node.typeName)
    return Column(
        name=node.colname,
        type=kind,
        not_null=kind in _SERIAL or any(c.contype in _NOT_NULL for c in written),
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
