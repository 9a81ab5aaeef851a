"""Views that publish materialized views: the one place where a view may read as its owner."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pglast import ast
from pglast.enums import BoolExprType, JoinType, SetOperation
from pglast.parser import ParseError

from checks.wording import quoted, tenant_predicate
from harness.catalog.files.expressions import canonical, deparse, walk
from harness.catalog.model import Catalog, Name, View
from harness.catalog.parsing import parse_sql
from harness.config import Tenancy


def publishes(view: View, catalog: Catalog, tenancy: Tenancy) -> bool:
    """Whether all that a view reads are materialized views, each limited to the tenant."""
    query = _plain_select(view.query)
    if query is None or not view.is_on("security_barrier"):
        return False
    read = list(_read(query.fromClause or ()))
    if len(read) != sum(isinstance(node, ast.RangeVar) for node in walk(query)):
        return False  # a subquery, a CTE or an outer join reads something as well
    said = {deparse(term) for term in _terms(query.whereClause)}
    return bool(read) and all(
        _is_materialized(relation, catalog) and said & _limits(relation, len(read) == 1, tenancy)
        for relation in read
    )


def _plain_select(text: str) -> Any:
    """The tree of a SELECT that is no UNION and the like, else None."""
    try:
        (statement,) = parse_sql(text)
    except (ParseError, ValueError):
        return None
    query = statement.stmt
    plain = isinstance(query, ast.SelectStmt) and query.op == SetOperation.SETOP_NONE
    return query if plain else None


def _read(clause: Any) -> Iterator[Any]:
    """Relations of a FROM clause that inner joins alone put together."""
    for item in clause:
        if isinstance(item, ast.RangeVar):
            yield item
        elif isinstance(item, ast.JoinExpr) and item.jointype == JoinType.JOIN_INNER:
            yield from _read((item.larg, item.rarg))


def _terms(condition: Any) -> Iterator[Any]:
    """What a condition joins with AND."""
    if isinstance(condition, ast.BoolExpr) and condition.boolop == BoolExprType.AND_EXPR:
        for term in condition.args:
            yield from _terms(term)
    elif condition is not None:
        yield condition


def _is_materialized(relation: Any, catalog: Catalog) -> bool:
    found = catalog.views.get(Name(relation.schemaname or "public", relation.relname))
    return found is not None and found.materialized


def _limits(relation: Any, alone: bool, tenancy: Tenancy) -> set[str]:
    """The ways to say that a relation is limited to the tenant."""
    called = relation.alias.aliasname if relation.alias else relation.relname
    predicate = tenant_predicate(tenancy)
    limits = {canonical(f"{quoted(called)}.{predicate}")}
    return limits | {canonical(predicate)} if alone else limits
