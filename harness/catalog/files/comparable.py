"""One spelling for what somebody wrote and what PostgreSQL makes of it.

pg_get_expr says of every literal and of every varchar that it is text, names the columns of
subqueries after their tables, and writes IN as = ANY. None of that changes what an expression
means; it is taken away on both sides.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from pglast import ast as typed_ast
from pglast.enums import A_Expr_Kind, BoolExprType
from pglast.parser import ParseError

from harness.catalog.files.expressions import deparse
from harness.catalog.parsing import parse_sql

ast: Any = typed_ast  # whose constructors have no types
_PERIOD = re.compile(r"\s*(\d+)\s*(second|minute|hour|week|month)s?\s*", re.IGNORECASE)
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}
_TEXTS = ("text", "varchar", "bpchar", "name")
_PATTERNS = (A_Expr_Kind.AEXPR_LIKE, A_Expr_Kind.AEXPR_ILIKE)
_EVERYWHERE = ("public", "pg_catalog")


@lru_cache(maxsize=4096)
def comparable(text: str) -> str:
    """The spelling of an expression; the text itself where it is none."""
    try:
        (statement,) = parse_sql(f"SELECT ({text}\n)")
    except (ParseError, ValueError):
        return text
    return deparse(_simple(statement.stmt.targetList[0].val))


def _simple(node: Any) -> Any:
    """The node and all below it, each as its reader leaves it."""
    if isinstance(node, tuple):
        return tuple(map(_simple, node))
    if not isinstance(node, typed_ast.Node):
        return node
    for slot in type(node).__slots__:
        below = getattr(node, slot)
        if isinstance(below, tuple | typed_ast.Node):
            setattr(node, slot, _simple(below))
    reader = _READERS.get(type(node))
    return node if reader is None else reader(node)


def _literal(node: Any) -> Any:
    """'24 hours' is printed as '24:00:00', '1 week' as '7 days', '1 month' as '1 mon'."""
    text = getattr(node.val, "sval", None)
    match = _PERIOD.fullmatch(text) if isinstance(text, str) else None
    if match is not None:
        node.val = ast.String(sval=_period(int(match[1]), match[2].lower()))
    return node


def _period(number: int, unit: str) -> str:
    if unit == "week":
        return f"{7 * number} days"
    if unit == "month":
        return f"{number} mon{'s' if number > 1 else ''}"
    minutes, seconds = divmod(number * _SECONDS[unit], 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"


def _junction(node: Any) -> Any:
    """(a AND b) AND c is a AND b AND c."""
    flat: list[Any] = []
    for part in node.args:
        same = isinstance(part, typed_ast.BoolExpr) and part.boolop == node.boolop
        flat += part.args if same and node.boolop != BoolExprType.NOT_EXPR else [part]
    node.args = tuple(flat)
    return node


def _cast(node: Any) -> Any:
    """A cast of a literal, or to text, says nothing."""
    literal = isinstance(node.arg, ast.A_Const)
    return node.arg if literal or node.typeName.names[-1].sval in _TEXTS else node


def _column(node: Any) -> Any:
    node.fields = node.fields[-1:]
    return node


def _relation(node: Any) -> Any:
    node.alias = None
    if node.schemaname in _EVERYWHERE:
        node.schemaname = None
    return node


def _call(node: Any) -> Any:
    if len(node.funcname) > 1 and node.funcname[0].sval in _EVERYWHERE:
        node.funcname = node.funcname[-1:]
    return node


def _target(node: Any) -> Any:
    node.name = None
    return node


def _operator(node: Any) -> Any:
    if node.kind == A_Expr_Kind.AEXPR_IN:
        some = node.name[-1].sval == "="
        node.kind = A_Expr_Kind.AEXPR_OP_ANY if some else A_Expr_Kind.AEXPR_OP_ALL
        node.rexpr = ast.A_ArrayExpr(elements=node.rexpr)
    elif node.kind in _PATTERNS:
        node.kind = A_Expr_Kind.AEXPR_OP
    elif node.kind == A_Expr_Kind.AEXPR_BETWEEN:
        return _between(node)
    return node


def _between(node: Any) -> Any:
    bounds = zip((">=", "<="), node.rexpr, strict=True)
    sides = tuple(
        ast.A_Expr(
            kind=A_Expr_Kind.AEXPR_OP,
            name=(ast.String(sval=operator),),
            lexpr=node.lexpr,
            rexpr=bound,
        )
        for operator, bound in bounds
    )
    return ast.BoolExpr(boolop=BoolExprType.AND_EXPR, args=sides)


_READERS: dict[type, Callable[[Any], Any]] = {
    ast.A_Const: _literal,
    ast.A_Expr: _operator,
    ast.BoolExpr: _junction,
    ast.ColumnRef: _column,
    ast.FuncCall: _call,
    ast.RangeVar: _relation,
    ast.ResTarget: _target,
    ast.TypeCast: _cast,
}
