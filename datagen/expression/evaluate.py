"""Evaluates a node of PostgreSQL's syntax tree over columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from pglast import ast
from pglast.enums import (
    A_Expr_Kind,
    BoolExprType,
    BoolTestType,
    MinMaxOp,
    NullTestType,
)

from datagen.expression import documents
from datagen.expression.columnwise import with_none
from datagen.expression.functions import FUNCTIONS
from datagen.expression.logic import conjunction, disjunction, negation, truth
from datagen.expression.moments import current
from datagen.expression.operators import COMPARISONS, apply_operator, negative
from datagen.expression.types import array_from_text, cast, from_text
from datagen.expression.unknown import UnknownExpression
from datagen.values import Array, Mask, Values, nulls, objects, of
from harness.catalog.files.expressions import walk

_JSON = ("json", "jsonb")
_JSON_OPERATORS = ("->", "#>")
_FAILURES = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError)
"""What Python and numpy say to operands that PostgreSQL refuses, or that are not supported."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where columns come from, and how many rows there are."""

    lookup: Callable[[str], Values]
    rows: int


def evaluate(node: Any, scope: Scope) -> Values:
    """The node's values. Raises UnknownExpression where it is not supported."""
    handler = _HANDLERS.get(type(node).__name__)
    if handler is None:
        raise UnknownExpression(f"{type(node).__name__} is not supported")
    return handler(node, scope)


def columns_of(node: Any) -> Iterator[str]:
    """Names of the columns below a node."""
    for part in walk(node):
        if isinstance(part, ast.ColumnRef):
            yield ".".join(str(each.sval) for each in part.fields if isinstance(each, ast.String))


def _column(node: Any, scope: Scope) -> Values:
    return scope.lookup(".".join(part.sval for part in node.fields))


def _constant(node: Any, scope: Scope) -> Values:
    if node.isnull:
        return nulls(scope.rows)
    if isinstance(node.val, ast.Float):
        return _everywhere(float(str(node.val.fval)), scope.rows)
    for name in ("ival", "sval", "boolval"):
        if hasattr(node.val, name):
            return _everywhere(getattr(node.val, name), scope.rows)
    raise UnknownExpression("constant is not supported")


def _everywhere(value: Any, rows: int) -> Values:
    """A constant as a column."""
    data = np.empty(rows, object if isinstance(value, str | bytes | list) else _dtype(value))
    data.fill(value)
    return of(data)


def _dtype(value: Any) -> Any:
    return value.dtype if isinstance(value, np.generic) else type(value)


def _type_cast(node: Any, scope: Scope) -> Values:
    name = node.typeName.names[-1].sval
    if isinstance(node.arg, ast.A_Const) and isinstance(node.arg.val, ast.String):
        read = array_from_text if node.typeName.arrayBounds else from_text
        return _everywhere(_guarded(read, str(node.arg.val.sval), name), scope.rows)
    operand = evaluate(node.arg, scope)
    if node.typeName.arrayBounds:
        return operand
    value: Values = _guarded(cast, operand, name)
    digits = node.typeName.typmods
    if name == "numeric" and digits and len(digits) == 2:
        value = FUNCTIONS["round"](value, _constant(digits[1], scope))
    return value


def _guarded(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    try:
        return function(*arguments, **named)
    except _FAILURES as error:
        raise UnknownExpression(f"operands are not supported: {error}") from error


def _bool_expr(node: Any, scope: Scope) -> Values:
    parts = [evaluate(argument, scope) for argument in node.args]
    if node.boolop == BoolExprType.NOT_EXPR:
        return negation(parts[0])
    join = conjunction if node.boolop == BoolExprType.AND_EXPR else disjunction
    return join(*parts)


def _null_test(node: Any, scope: Scope) -> Values:
    null = evaluate(node.arg, scope).null
    return of(null.copy() if node.nulltesttype == NullTestType.IS_NULL else ~null)


def _boolean_test(node: Any, scope: Scope) -> Values:
    value = truth(evaluate(node.arg, scope))
    kinds = {
        BoolTestType.IS_TRUE: ~value.null & value.data,
        BoolTestType.IS_NOT_TRUE: value.null | ~value.data,
        BoolTestType.IS_FALSE: ~value.null & ~value.data,
        BoolTestType.IS_NOT_FALSE: value.null | value.data,
        BoolTestType.IS_UNKNOWN: value.null.copy(),
        BoolTestType.IS_NOT_UNKNOWN: ~value.null,
    }
    return of(kinds[node.booltesttype])


def _a_expr(node: Any, scope: Scope) -> Values:
    handler = _KINDS.get(node.kind)
    if handler is None:
        raise UnknownExpression(f"operator kind {node.kind} is not supported")
    return handler(node, scope)


def _operator(node: Any, scope: Scope) -> Values:
    name = node.name[-1].sval
    if node.lexpr is None:
        value = evaluate(node.rexpr, scope)
        if name not in ("+", "-"):
            raise UnknownExpression(f"prefix operator {name} is not supported")
        return _guarded(negative, value) if name == "-" else value
    return _applied(name, node.lexpr, node.rexpr, scope)


def _applied(name: str, left: Any, right: Any, scope: Scope) -> Values:
    """A binary operator on two nodes; rows are compared element by element."""
    if isinstance(left, ast.RowExpr) and isinstance(right, ast.RowExpr):
        return _compare_rows(name, list(zip(left.args, right.args, strict=True)), scope)
    a, b = evaluate(left, scope), evaluate(right, scope)
    if name in COMPARISONS and (_is_json(left) or _is_json(right)):
        a, b = _guarded(documents.canonical, a), _guarded(documents.canonical, b)
    return _guarded(apply_operator, name, a, b)  # type: ignore[no-any-return]


def _is_json(node: Any) -> bool:
    if isinstance(node, ast.TypeCast):
        return node.typeName.names[-1].sval in _JSON
    return isinstance(node, ast.A_Expr) and node.name[-1].sval in _JSON_OPERATORS


def _compare_rows(name: str, pairs: list[tuple[Any, Any]], scope: Scope) -> Values:
    (left, right), rest = pairs[0], pairs[1:]
    if not rest:
        return _applied(name, left, right, scope)
    equal = _applied("=", left, right, scope)
    if name == "=":
        return conjunction(equal, _compare_rows(name, rest, scope))
    if name in ("<>", "!="):
        return disjunction(negation(equal), _compare_rows(name, rest, scope))
    if name not in COMPARISONS:
        raise UnknownExpression(f"operator {name} on rows is not supported")
    before = _applied(name[0], left, right, scope)
    return disjunction(before, conjunction(equal, _compare_rows(name, rest, scope)))


def _any_of(node: Any, scope: Scope) -> Values:
    return _over_elements(node, scope, node.name[-1].sval, disjunction)


def _all_of(node: Any, scope: Scope) -> Values:
    return _over_elements(node, scope, node.name[-1].sval, conjunction)


def _in(node: Any, scope: Scope) -> Values:
    """`IN (…)` is `= ANY`, `NOT IN (…)` is `<> ALL`."""
    name = node.name[-1].sval
    return _over_elements(node, scope, name, disjunction if name == "=" else conjunction)


def _over_elements(node: Any, scope: Scope, name: str, join: Callable[..., Values]) -> Values:
    """An OR or AND of the operator on each element."""
    elements = _listed(node.rexpr)
    if elements is None:
        array = evaluate(node.rexpr, scope)
        return _over_arrays(evaluate(node.lexpr, scope), array, name, join)
    if not elements:
        return of(np.full(scope.rows, join is conjunction))
    texts = [_text_of(element) for element in elements]
    if (name, join) in ((("=", disjunction)), ("<>", conjunction)) and None not in texts:
        left = evaluate(node.lexpr, scope)
        if left.data.dtype == object:
            return _among(left, frozenset(texts), found=name == "=")
    return join(*(_applied(name, node.lexpr, element, scope) for element in elements))


def _listed(node: Any) -> Any:
    """The nodes of a list or ARRAY[…], or None where it is another expression."""
    while isinstance(node, ast.TypeCast) and node.typeName.arrayBounds:
        node = node.arg
    if isinstance(node, ast.A_ArrayExpr):
        return node.elements or ()
    return node if isinstance(node, tuple | list) else None


def _text_of(node: Any) -> str | None:
    """The text of a literal that is one."""
    if isinstance(node, ast.TypeCast) and node.typeName.names[-1].sval in ("text", "varchar"):
        node = node.arg
    plain = isinstance(node, ast.A_Const) and isinstance(node.val, ast.String)
    return str(node.val.sval) if plain else None


def _among(value: Values, texts: frozenset[Any], found: bool) -> Values:
    """Whether a text is one of many, much faster than one after the other."""
    made = [(text in texts) is found for text in value.data.tolist()]
    return Values(np.array(made, bool), value.null)


def _over_arrays(left: Values, right: Values, name: str, join: Callable[..., Values]) -> Values:
    if name not in ("=", "<>"):
        raise UnknownExpression(f"operator {name} on the elements of a column is not supported")
    deciding = join is disjunction
    pairs = zip(with_none(left), with_none(right), strict=True)
    made = [_among_elements(item, array, name == "=", deciding) for item, array in pairs]
    return Values(np.array([bool(m) for m in made]), np.array([m is None for m in made]))


def _among_elements(item: Any, array: Any, equal: bool, deciding: bool) -> bool | None:
    if array is None or (item is None and array):
        return None
    answers = [None if other is None else (item == other) is equal for other in array]
    if deciding in answers:
        return deciding
    return None if None in answers else not deciding


def _between(node: Any, scope: Scope) -> Values:
    low, high = node.rexpr
    inside = _inside(node, low, high, scope)
    if node.kind in _SYMMETRIC:
        inside = disjunction(inside, _inside(node, high, low, scope))
    return negation(inside) if node.kind in _NOT_BETWEEN else inside


def _inside(node: Any, low: Any, high: Any, scope: Scope) -> Values:
    above = _applied(">=", node.lexpr, low, scope)
    return conjunction(above, _applied("<=", node.lexpr, high, scope))


def _distinct(node: Any, scope: Scope) -> Values:
    sides = (node.lexpr, node.rexpr)
    rows = all(isinstance(side, ast.RowExpr) for side in sides)
    pairs = zip(*(side.args for side in sides), strict=True) if rows else [sides]
    same = reduce(np.logical_and, (_same(left, right, scope) for left, right in pairs))
    return of(same if node.kind == A_Expr_Kind.AEXPR_NOT_DISTINCT else ~same)


def _same(left: Any, right: Any, scope: Scope) -> Array:
    """Equal, or both NULL."""
    equal = truth(_applied("=", left, right, scope))
    nulls_of = [evaluate(side, scope).null for side in (left, right)]
    return np.where(equal.null, nulls_of[0] & nulls_of[1], equal.data)


def _nullif(node: Any, scope: Scope) -> Values:
    equal = truth(_applied("=", node.lexpr, node.rexpr, scope))
    value = evaluate(node.lexpr, scope)
    return Values(value.data, value.null | (~equal.null & equal.data))


def _coalesce(node: Any, scope: Scope) -> Values:
    result = evaluate(node.args[0], scope)
    for argument in node.args[1:]:
        if not result.null.any():
            break
        result = _replaced(result, result.null, evaluate(argument, scope))
    return result


def _replaced(values: Values, rows: Mask, others: Values) -> Values:
    """Values in which those of `others` stand at some rows; of a type that holds both."""
    if rows.all() or values.null.all():
        return Values(others.data, np.where(rows, others.null, values.null))
    if others.null.all():
        return Values(values.data, np.where(rows, True, values.null))
    made: Values = _guarded(values.put, rows, others.take(rows))
    return made


def _min_max(node: Any, scope: Scope) -> Values:
    name = "<" if node.op == MinMaxOp.IS_LEAST else ">"
    result = evaluate(node.args[0], scope)
    for argument in node.args[1:]:
        other = evaluate(argument, scope)
        better = truth(_guarded(apply_operator, name, other, result))
        wanted = ~other.null & (result.null | (~better.null & better.data))
        result = _replaced(result, wanted, other)
    return result


def _case(node: Any, scope: Scope) -> Values:
    result = evaluate(node.defresult, scope) if node.defresult else nulls(scope.rows)
    for branch in reversed(node.args):
        if node.arg is None:
            condition = truth(evaluate(branch.expr, scope))
        else:
            condition = truth(_applied("=", node.arg, branch.expr, scope))
        taken = ~condition.null & condition.data
        result = _replaced(result, taken, evaluate(branch.result, scope))
    return result


def _function(node: Any, scope: Scope) -> Values:
    name = node.funcname[-1].sval
    if name in NOW and not node.args:
        return scope.lookup("as_of")
    if name not in FUNCTIONS or node.agg_order or node.over or node.func_variadic:
        raise UnknownExpression(f"function {name} is not supported")
    given = node.args or ()
    plain = [evaluate(a, scope) for a in given if not isinstance(a, ast.NamedArgExpr)]
    named = {a.name: evaluate(a.arg, scope) for a in given if isinstance(a, ast.NamedArgExpr)}
    return _guarded(FUNCTIONS[name], *plain, **named)  # type: ignore[no-any-return]


def _array(node: Any, scope: Scope) -> Values:
    elements = [with_none(evaluate(element, scope)) for element in node.elements or ()]
    rows = zip(*elements, strict=True) if elements else [()] * scope.rows
    return of(objects([list(row) for row in rows]))


def _subscript(node: Any, scope: Scope) -> Values:
    """`tags[1]`."""
    (step,) = node.indirection
    if not isinstance(step, ast.A_Indices) or step.is_slice:
        raise UnknownExpression("only one subscript is supported")
    arrays, indexes = (with_none(evaluate(part, scope)) for part in (node.arg, step.uidx))
    items = [
        array[index - 1] if array and index and 0 < index <= len(array) else None
        for array, index in zip(arrays, indexes, strict=True)
    ]
    return Values(objects(items), np.array([item is None for item in items], bool))


NOW = ("now", "transaction_timestamp", "statement_timestamp", "clock_timestamp")
_SYMMETRIC = (A_Expr_Kind.AEXPR_BETWEEN_SYM, A_Expr_Kind.AEXPR_NOT_BETWEEN_SYM)
_NOT_BETWEEN = (A_Expr_Kind.AEXPR_NOT_BETWEEN, A_Expr_Kind.AEXPR_NOT_BETWEEN_SYM)
_KINDS = {
    A_Expr_Kind.AEXPR_OP: _operator,
    A_Expr_Kind.AEXPR_OP_ANY: _any_of,
    A_Expr_Kind.AEXPR_OP_ALL: _all_of,
    A_Expr_Kind.AEXPR_IN: _in,
    A_Expr_Kind.AEXPR_LIKE: _operator,
    A_Expr_Kind.AEXPR_ILIKE: _operator,
    A_Expr_Kind.AEXPR_SIMILAR: _operator,
    A_Expr_Kind.AEXPR_BETWEEN: _between,
    A_Expr_Kind.AEXPR_NOT_BETWEEN: _between,
    A_Expr_Kind.AEXPR_BETWEEN_SYM: _between,
    A_Expr_Kind.AEXPR_NOT_BETWEEN_SYM: _between,
    A_Expr_Kind.AEXPR_DISTINCT: _distinct,
    A_Expr_Kind.AEXPR_NOT_DISTINCT: _distinct,
    A_Expr_Kind.AEXPR_NULLIF: _nullif,
}
_HANDLERS: dict[str, Callable[[Any, Scope], Values]] = {
    "ColumnRef": _column,
    "A_Const": _constant,
    "TypeCast": _type_cast,
    "BoolExpr": _bool_expr,
    "NullTest": _null_test,
    "BooleanTest": _boolean_test,
    "A_Expr": _a_expr,
    "CoalesceExpr": _coalesce,
    "MinMaxExpr": _min_max,
    "CaseExpr": _case,
    "FuncCall": _function,
    "SQLValueFunction": lambda node, scope: current(node.op, scope.lookup("as_of")),
    "A_ArrayExpr": _array,
    "A_Indirection": _subscript,
    "CollateClause": lambda node, scope: evaluate(node.arg, scope),
}
