"""CREATE TABLE: plain, partitioned, a partition."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pglast import ast
from pglast.enums import PartitionStrategy

from harness.catalog.files import columns, constraints, defaults, names
from harness.catalog.files.draft import Draft
from harness.catalog.files.expressions import deparse
from harness.catalog.files.statements import Refused, Statement
from harness.catalog.model import Column, Name, Table

_LIKE_CONSTRAINTS = 1 << 2
_LIKE_INDEXES = 1 << 6
_STRATEGY = {
    PartitionStrategy.PARTITION_STRATEGY_RANGE: "RANGE",
    PartitionStrategy.PARTITION_STRATEGY_LIST: "LIST",
    PartitionStrategy.PARTITION_STRATEGY_HASH: "HASH",
}


def create(node: Any, statement: Statement, draft: Draft) -> None:
    """Adds the table with its columns, then its keys and checks."""
    name = names.of_relation(node.relation)
    if node.relation.relpersistence == "t" or (node.if_not_exists and name in draft.tables):
        return  # gone with its session, or there already
    draft.declare_relation(name, statement)
    _refuse_variants(node, name, statement)
    parent = names.of_relation(node.inhRelations[0]) if node.partbound else None
    parts = node.tableElts or ()
    own = [
        columns.read(part, name, statement, draft) for part in parts if type(part) is ast.ColumnDef
    ]
    inherited = _inherited(node, name, statement, draft)
    draft.tables[name] = Table(
        name=name,
        columns={**inherited, **{column.name: column for column in own}},
        partition_by=_partition_key(node.partspec),
        partition_of=parent,
        grants=defaults.of_table(name, statement.location(), draft),
        location=statement.location(),
    )
    for part in parts:
        try:
            _add_constraints(part, name, statement, draft)
        except Refused as refused:  # the other constraints are still worth knowing
            draft.problems.append(refused.problem)
    _merge_keys(name, draft)


def _merge_keys(name: Name, draft: Draft) -> None:
    """A UNIQUE on the columns of the primary key beside it is the same index to PostgreSQL."""
    table = draft.tables[name]
    key = table.primary_key
    if key is not None:
        kept = tuple(c for c in table.constraints if c.kind != "unique" or c.columns != key.columns)
        draft.change(name, constraints=kept)


def _add_constraints(part: Any, name: Name, statement: Statement, draft: Draft) -> None:
    if type(part) is ast.ColumnDef:
        columns.add_constraints(part, name, statement, draft)
    elif type(part) is ast.Constraint:
        constraints.add(part, name, statement, draft)
    else:
        _copy(part, name, statement, draft)


def _copy(like: Any, name: Name, statement: Statement, draft: Draft) -> None:
    """LIKE: columns, and keys and checks where it says so; never row security, policies, grants."""
    source = draft.table(names.of_relation(like.relation), statement)
    table = draft.tables[name]
    columns = {
        key: replace(column, comment=None, location=statement.location())
        for key, column in source.columns.items()
    }
    draft.change(name, columns={**table.columns, **columns})
    copied = {"check"} if like.options & _LIKE_CONSTRAINTS else set()
    copied |= {"primary key", "unique", "exclude"} if like.options & _LIKE_INDEXES else set()
    for constraint in source.constraints:
        if constraint.kind in copied:
            taken = {other.name for other in draft.tables[name].constraints}
            own = replace(constraint, name=names.choose(name, constraint, taken))
            draft.change(name, constraints=(*draft.tables[name].constraints, own))


def _refuse_variants(node: Any, name: Name, statement: Statement) -> None:
    """Tables whose life or columns the files do not show."""
    if node.ofTypename is not None:
        statement.refuse("opaque", name, "OF hides the columns in a type; write them out")
    if node.accessMethod is not None:
        statement.refuse("opaque", name, f"USING {node.accessMethod} is not known here; drop it")


def _inherited(node: Any, name: Name, statement: Statement, draft: Draft) -> dict[str, Column]:
    """Columns of the parents of a partition or of a table that INHERITS."""
    found: dict[str, Column] = {}
    for relation in node.inhRelations or ():
        parent = names.of_relation(relation)
        if parent not in draft.tables:
            draft.note_missing("table", parent, statement, relation.location)
            continue
        known = draft.tables[parent].columns
        found |= {key: replace(column, comment=None) for key, column in known.items()}
    if node.inhRelations and not node.partbound:
        draft.inherits[name] = tuple(map(names.of_relation, node.inhRelations))
    return found


def _partition_key(spec: Any) -> str | None:
    if spec is None:
        return None
    keys = ", ".join(part.name or deparse(part.expr) for part in spec.partParams)
    return f"{_STRATEGY[spec.strategy]} ({keys})"
