"""What a CHECK says about single columns: closed lists, bounds, orders of two columns.

Each function looks at one conjunct and answers None where it does not have that form.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pglast import ast
from pglast.enums import A_Expr_Kind, BoolExprType

from datagen.expression import Expression
from datagen.expression.evaluate import columns_of
from harness.catalog.files.expressions import walk

_LENGTHS = ("length", "char_length", "character_length", "octet_length")
_SIZES = ("cardinality", "array_length")
_KINDS = ("jsonb_typeof", "json_typeof")
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}


def conjuncts(expression: Expression) -> Iterator[Any]:
    """The parts that are joined by AND at the top."""
    yield from _conjuncts(expression.node)


def allowed_values(node: Any) -> tuple[str, list[Any]] | None:
    """Column and values of `column IN (…)`, `column = ANY (ARRAY[…])` or `column = 'text'`."""
    if not isinstance(node, ast.A_Expr):
        return None
    kinds = (A_Expr_Kind.AEXPR_OP_ANY, A_Expr_Kind.AEXPR_IN)
    column = _column(node.lexpr)
    if column is None or node.name[-1].sval != "=":
        return None
    if node.kind == A_Expr_Kind.AEXPR_OP:
        value = literal(node.rexpr)
        return (column, [value]) if isinstance(value, str) else None
    if node.kind not in kinds:
        return None
    elements = _bare(node.rexpr)
    elements = elements.elements if isinstance(elements, ast.A_ArrayExpr) else elements
    values = [literal(element) for element in elements or ()]
    return None if None in values else (column, values)


def allowed_elements(node: Any) -> tuple[str, list[Any]] | None:
    """Column and values of `column <@ ARRAY[…]`: an array may hold nothing else."""
    if not isinstance(node, ast.A_Expr) or node.kind != A_Expr_Kind.AEXPR_OP:
        return None
    column, whole = _column(node.lexpr), _bare(node.rexpr)
    if node.name[-1].sval != "<@" or column is None or not isinstance(whole, ast.A_ArrayExpr):
        return None
    values = [literal(element) for element in whole.elements or ()]
    return None if None in values else (column, values)


def bound(node: Any) -> list[tuple[str, str, float]]:
    """(column, operator, number) of a comparison of a column with a number, and of BETWEEN."""
    if not isinstance(node, ast.A_Expr):
        return []
    column = _column(node.lexpr)
    if node.kind == A_Expr_Kind.AEXPR_BETWEEN and column:
        low, high = (_number(end) for end in node.rexpr)
        ends = [(column, ">=", low), (column, "<=", high)]
        return [(c, o, n) for c, o, n in ends if n is not None]
    if node.kind != A_Expr_Kind.AEXPR_OP or node.name[-1].sval not in _MIRRORED:
        return []
    operator, number = node.name[-1].sval, _number(node.rexpr)
    if column is None:
        column, number = _column(node.rexpr), _number(node.lexpr)
        operator = _MIRRORED[operator]
    return [] if column is None or number is None else [(column, operator, number)]


def comparisons(node: Any) -> list[tuple[str, str, Any]]:
    """(column, operator, other side) of a comparison that has a column on one side, and of
    BETWEEN."""
    if not isinstance(node, ast.A_Expr):
        return []
    column, operator = _column(node.lexpr), node.name[-1].sval
    if node.kind == A_Expr_Kind.AEXPR_BETWEEN and column:
        return [(column, ">=", node.rexpr[0]), (column, "<=", node.rexpr[1])]
    if node.kind != A_Expr_Kind.AEXPR_OP or operator not in _MIRRORED:
        return []
    if column is not None:
        return [(column, operator, node.rexpr)]
    column = _column(node.rexpr)
    return [(column, _MIRRORED[operator], node.lexpr)] if column else []


def order(node: Any) -> tuple[str, str] | None:
    """The two columns of a comparison such as `ends_at > starts_at`."""
    if not isinstance(node, ast.A_Expr) or node.kind != A_Expr_Kind.AEXPR_OP:
        return None
    left, right = _column(node.lexpr), _column(node.rexpr)
    ordered = node.name[-1].sval in ("<", "<=", ">", ">=")
    return (left, right) if ordered and left and right else None


def length_bound(node: Any) -> list[tuple[str, str, float]]:
    """(column, operator, number) of a comparison of a text's length, bare or trimmed."""
    if not isinstance(node, ast.A_Expr):
        return []
    column = _measured(node.lexpr)
    if column is None:
        return []
    if node.kind == A_Expr_Kind.AEXPR_BETWEEN:
        found = list(zip((">=", "<="), map(_number, node.rexpr), strict=True))
    elif node.kind == A_Expr_Kind.AEXPR_OP and node.name[-1].sval in _MIRRORED:
        found = [(node.name[-1].sval, _number(node.rexpr))]
    else:
        return []
    return [(column, operator, number) for operator, number in found if number is not None]


def document_kind(node: Any) -> tuple[str, str] | None:
    """Column and kind of `jsonb_typeof(column) = 'array'`."""
    if not isinstance(node, ast.A_Expr) or node.kind != A_Expr_Kind.AEXPR_OP:
        return None
    call, kind = _bare(node.lexpr), literal(node.rexpr)
    if not isinstance(call, ast.FuncCall) or call.funcname[-1].sval not in _KINDS:
        return None
    column = _column(call.args[0])
    return (column, kind) if column and node.name[-1].sval == "=" and kind else None


def sizes(node: Any) -> Iterator[tuple[str, float]]:
    """Columns, and each number with which the length of one is compared anywhere below."""
    for part in walk(node):
        yield from ((column, number) for column, _, number in length_bound(part))


def pattern(node: Any) -> tuple[str, str] | None:
    """Column and regular expression of `column ~ '…'`."""
    if not isinstance(node, ast.A_Expr) or node.kind != A_Expr_Kind.AEXPR_OP:
        return None
    column, text = _column(node.lexpr), literal(node.rexpr)
    matched = node.name[-1].sval in ("~", "~*") and column and isinstance(text, str)
    return (str(column), text) if matched else None


def assigned(expression: Expression) -> tuple[str, Expression] | None:
    """A column and what it has to be: `total = price * quantity`, a conjunct or the whole."""
    for node in conjuncts(expression):
        if isinstance(node, ast.A_Expr) and node.kind == A_Expr_Kind.AEXPR_OP:
            for one, other in ((node.lexpr, node.rexpr), (node.rexpr, node.lexpr)):
                column = _column(one)
                mentioned = frozenset(columns_of(other))
                if node.name[-1].sval == "=" and column and column not in mentioned:
                    return column, Expression(expression.text, other, mentioned)
    return None


def constants(node: Any) -> Iterator[tuple[str, Any]]:
    """Columns, and each value with which one is compared anywhere below a node."""
    for part in walk(node):
        if isinstance(part, ast.A_Expr):
            yield from _compared_values(part)


def _compared_values(node: Any) -> Iterator[tuple[str, Any]]:
    column, other = _column(node.lexpr), _bare(node.rexpr)
    if column is None:
        return
    listed = other.elements if isinstance(other, ast.A_ArrayExpr) else other
    for element in listed if isinstance(listed, tuple | list) else (listed,):
        value = literal(element)
        if value is not None:
            yield column, value


def _measured(node: Any) -> str | None:
    """The column whose length a call tells."""
    node = _bare(node)
    if not isinstance(node, ast.FuncCall) or node.funcname[-1].sval not in _LENGTHS + _SIZES:
        return None
    inner = _bare(node.args[0])
    if isinstance(inner, ast.FuncCall) and inner.funcname[-1].sval in ("btrim", "trim"):
        inner = inner.args[0]
    return _column(inner)


def _conjuncts(node: Any) -> Iterator[Any]:
    if isinstance(node, ast.BoolExpr) and node.boolop == BoolExprType.AND_EXPR:
        for argument in node.args:
            yield from _conjuncts(argument)
    else:
        yield node


def _bare(node: Any) -> Any:
    while isinstance(node, ast.TypeCast):
        node = node.arg
    return node


def _column(node: Any) -> str | None:
    node = _bare(node)
    if isinstance(node, ast.ColumnRef) and len(node.fields) == 1:
        return str(node.fields[0].sval)
    return None


def literal(node: Any) -> Any:
    """The value of a literal, with or without casts; None of anything else."""
    node = _bare(node)
    if not isinstance(node, ast.A_Const) or node.isnull:
        return None
    value = node.val
    if isinstance(value, ast.Float):
        return float(str(value.fval))
    return next((getattr(value, n) for n in ("ival", "sval", "boolval") if hasattr(value, n)), None)


def _number(node: Any) -> float | None:
    node = _bare(node)
    if isinstance(node, ast.A_Expr) and node.lexpr is None and node.name[-1].sval == "-":
        inner = _number(node.rexpr)
        return None if inner is None else -inner
    value = literal(node)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
