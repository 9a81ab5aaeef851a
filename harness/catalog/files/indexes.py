"""CREATE INDEX and CREATE STATISTICS."""

from __future__ import annotations

from itertools import count
from typing import Any

from pglast import ast

from harness.catalog.files import names
from harness.catalog.files.draft import Draft
from harness.catalog.files.expressions import deparse, walk
from harness.catalog.files.statements import Statement
from harness.catalog.model import Index, Name


def create(node: Any, statement: Statement, draft: Draft) -> None:
    """Adds the index to its table; on a materialized view only its name is kept.

    Where no COMMENT ON INDEX says what it serves, the `--` lines above it do.
    """
    relation = names.of_relation(node.relation)
    if node.concurrent:
        message = "CONCURRENTLY cannot run in the one transaction of a deploy"
        draft.problems.append(statement.problem("deploy", node.idxname or relation, message))
    name = Name(relation.schema, node.idxname or _chosen(node, relation, draft))
    if node.if_not_exists and name in draft.indexes:
        return
    draft.declare_relation(name, statement)
    draft.indexes[name] = relation
    parts = (*node.indexParams, *(node.indexIncludingParams or ()))
    draft.resolve(walk((parts, node.whereClause)), statement)
    if relation in draft.views:
        return
    table = draft.table(relation, statement)
    draft.require_columns(table, [part.name for part in parts if part.name], statement)
    index = Index(
        name=name.name,
        columns=tuple(part.name or deparse(part.expr) for part in node.indexParams),
        unique=node.unique,
        predicate=_predicate(node, statement),
        method=node.accessMethod,
        nulls_not_distinct=node.nulls_not_distinct,
        comment=statement.file.comment_above(statement.start),
        location=statement.location(),
    )
    draft.change(relation, indexes=(*table.indexes, index))


def create_statistics(node: Any, statement: Statement, draft: Draft) -> None:
    """Checks that the table exists; statistics have no consequence that is checked."""
    for relation in node.relations:
        draft.table(names.of_relation(relation), statement)
    if node.defnames:
        draft.statistics.add(names.of_strings(node.defnames))


def _chosen(node: Any, relation: Name, draft: Draft) -> str:
    """The name that PostgreSQL gives to an index without one."""
    columns: list[str] = []
    for part in node.indexParams:
        told = part.name or _figured(part.expr)
        taken_too = (f"{told}{number or ''}" for number in count())
        columns.append(next(name for name in taken_too if name not in columns))
    taken = {index.name for index in draft.indexes if index.schema == relation.schema}
    return names.choose_index(relation, columns, taken)


def _figured(expression: Any) -> str:
    """What PostgreSQL calls a column without a name: after its function (FigureIndexColname)."""
    while isinstance(expression, ast.TypeCast):
        expression = expression.arg
    if isinstance(expression, ast.FuncCall):
        return str(expression.funcname[-1].sval)
    if isinstance(expression, ast.ColumnRef):
        return str(expression.fields[-1].sval)
    return {ast.CoalesceExpr: "coalesce", ast.CaseExpr: "case"}.get(type(expression), "expr")


def _predicate(node: Any, statement: Statement) -> str | None:
    if node.whereClause is None:
        return None
    return statement.file.expression(statement.after("WHERE"), statement.stop)
