"""Evaluates a node of PostgreSQL's syntax tree over columns."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from pglast import ast
from pglast.enums import A_Expr_Kind, BoolExprType, BoolTestType, MinMaxOp, NullTestType

from datagen.expression.functions import FUNCTIONS
from datagen.expression.types import cast, comparable, from_text
from datagen.expression.unknown import UnknownExpression
from datagen.values import Values, constant, nulls, objects, of

__all__ = ["Scope", "UnknownExpression", "columns_of", "evaluate"]


@dataclass(frozen=True)
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
    if isinstance(node, ast.ColumnRef):
        yield ".".join(str(part.sval) for part in node.fields if isinstance(part, ast.String))
    elif isinstance(node, tuple | list):
        for part in node:
            yield from columns_of(part)
    elif isinstance(node, ast.Node):
        for name in node.__slots__:
            yield from columns_of(getattr(node, name))


def _column(node: Any, scope: Scope) -> Values:
    return scope.lookup(".".join(part.sval for part in node.fields))


def _constant(node: Any, scope: Scope) -> Values:
    if node.isnull:
        return nulls(scope.rows)
    value = node.val
    if isinstance(value, ast.Float):
        return constant(float(str(value.fval)), scope.rows)
    for name in ("ival", "sval", "boolval"):
        if hasattr(value, name):
            return constant(getattr(value, name), scope.rows)
    raise UnknownExpression("constant is not supported")


def _type_cast(node: Any, scope: Scope) -> Values:
    name = node.typeName.names[-1].sval
    if isinstance(node.arg, ast.A_Const) and isinstance(node.arg.val, ast.String):
        return constant(from_text(str(node.arg.val.sval), name), scope.rows)
    value = evaluate(node.arg, scope)
    return value if node.typeName.arrayBounds else cast(value, name)


def _bool_expr(node: Any, scope: Scope) -> Values:
    parts = [_truth(evaluate(argument, scope)) for argument in node.args]
    if node.boolop == BoolExprType.NOT_EXPR:
        return Values(~parts[0].data, parts[0].null)
    deciding = node.boolop == BoolExprType.OR_EXPR  # true decides an OR, false an AND
    decided, unknown = np.zeros(scope.rows, bool), np.zeros(scope.rows, bool)
    for part in parts:
        decided |= ~part.null & (part.data == deciding)
        unknown |= part.null
    return Values(np.where(decided, deciding, not deciding), unknown & ~decided)


def _truth(value: Values) -> Values:
    if value.data.dtype != bool:
        return Values(np.where(value.null, False, value.data).astype(bool), value.null)
    return value


def _null_test(node: Any, scope: Scope) -> Values:
    null = evaluate(node.arg, scope).null
    return of(null.copy() if node.nulltesttype == NullTestType.IS_NULL else ~null)


def _boolean_test(node: Any, scope: Scope) -> Values:
    value = _truth(evaluate(node.arg, scope))
    kinds = {
        BoolTestType.IS_TRUE: ~value.null & value.data,
        BoolTestType.IS_NOT_TRUE: value.null | ~value.data,
        BoolTestType.IS_FALSE: ~value.null & ~value.data,
        BoolTestType.IS_NOT_FALSE: value.null | value.data,
        BoolTestType.IS_UNKNOWN: value.null,
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
    right = evaluate(node.rexpr, scope)
    if node.lexpr is None:
        return Values(-right.data, right.null) if name == "-" else right
    left = evaluate(node.lexpr, scope)
    return apply_operator(name, left, right)


def apply_operator(name: str, left: Values, right: Values) -> Values:
    """A binary operator on two columns; NULL where one of them is."""
    null = left.null | right.null
    if name in _COMPARISONS:
        return _compare(name, left, right)
    if name in _MATCHES:
        return _match(name, left, right)
    if name == "||":
        return _each(lambda a, b: str(a) + str(b), left, right)
    if name in ("<@", "@>") and not _is_json(left, right):
        a, b = (left, right) if name == "<@" else (right, left)
        return _each(lambda part, whole: set(part) <= set(whole), a, b, bool)
    if name in ("->", "->>", "?"):
        return FUNCTIONS[f"json{name}"](left, right)
    if name not in _ARITHMETIC:
        raise UnknownExpression(f"operator {name} is not supported")
    a, b = _arithmetic_operands(name, left, right)
    with np.errstate(all="ignore"):
        return Values(_ARITHMETIC[name](a, b), null)


def _is_json(*sides: Values) -> bool:
    """Whether a side holds JSON text rather than arrays."""
    return any(isinstance(v, str) for side in sides for v in side.data[~side.null][:1])


def _arithmetic_operands(name: str, left: Values, right: Values) -> tuple[Any, Any]:
    a, b = _filled(left), _filled(right)
    if a.dtype == "datetime64[D]" and np.issubdtype(b.dtype, np.integer):
        b = b.astype("timedelta64[D]")
    if name == "/" and np.issubdtype(b.dtype, np.number):
        b = np.where(b == 0, 1, b)
    return a, b


def _filled(value: Values) -> Any:
    """Data that arithmetic can be done with, also under NULLs."""
    if value.data.dtype != object:
        return value.data
    if value.null.all():
        return np.zeros(len(value))
    return np.array([0.0 if n else float(v) for v, n in zip(value.data, value.null, strict=True)])


def _compare(name: str, left: Values, right: Values) -> Values:
    null = left.null | right.null
    a, b = comparable(left, right)
    data = np.zeros(len(null), bool)
    known = ~null
    if known.any():
        data[known] = _COMPARISONS[name](a[known], b[known]).astype(bool)
    return Values(data, null)


def _match(name: str, left: Values, right: Values) -> Values:
    flags = re.IGNORECASE if name.endswith("*") or name in ("~~*", "!~~*") else 0
    translate = like_to_regex if "~~" in name else posix_to_regex
    compiled: dict[str, re.Pattern[str]] = {}

    def matches(text: Any, pattern: Any) -> bool:
        if pattern not in compiled:
            compiled[pattern] = re.compile(translate(pattern), flags)
        return (compiled[pattern].search(str(text)) is not None) != name.startswith("!")

    return _each(matches, left, right, bool)


def posix_to_regex(pattern: str) -> str:
    """PostgreSQL's regular expression as Python's; the common part of both is passed on."""
    for posix, python in _CLASSES.items():
        pattern = pattern.replace(posix, python)
    return re.sub(r"(?<!\\)\$$", r"\\Z", pattern)


def like_to_regex(pattern: str) -> str:
    """A LIKE pattern as a regular expression of the whole text."""
    parts = (".*" if c == "%" else "." if c == "_" else re.escape(c) for c in pattern)
    return r"\A(?s:" + "".join(parts) + r")\Z"


def _each(function: Callable[..., Any], left: Values, right: Values, dtype: Any = object) -> Values:
    """A Python function on pairs, NULL where one is."""
    null = left.null | right.null
    data = np.zeros(len(null), dtype)
    for row in np.flatnonzero(~null):
        data[row] = function(left.data[row], right.data[row])
    return Values(data, null)


def _any_of(node: Any, scope: Scope) -> Values:
    return _over_elements(node, scope, any_matches=True)


def _all_of(node: Any, scope: Scope) -> Values:
    return _over_elements(node, scope, any_matches=False)


def _over_elements(node: Any, scope: Scope, any_matches: bool) -> Values:
    """`x op ANY (ARRAY[…])` and ALL: an OR or AND of comparisons."""
    left, name = evaluate(node.lexpr, scope), node.name[-1].sval
    found, unknown = np.zeros(scope.rows, bool), left.null.copy()
    for element in _elements(node.rexpr):
        result = apply_operator(name, left, evaluate(element, scope))
        found |= ~result.null & (result.data == any_matches)
        unknown |= result.null
    return Values(np.where(found, any_matches, not any_matches), unknown & ~found)


def _elements(node: Any) -> Any:
    while isinstance(node, ast.TypeCast):
        node = node.arg
    if isinstance(node, ast.A_ArrayExpr):
        return node.elements or ()
    if isinstance(node, tuple | list):
        return node
    raise UnknownExpression("ANY of something that is no list is not supported")


def _in(node: Any, scope: Scope) -> Values:
    negated = node.name[-1].sval == "<>"
    left = evaluate(node.lexpr, scope)
    found = np.zeros(scope.rows, bool)
    for element in _elements(node.rexpr):
        result = apply_operator("=", left, evaluate(element, scope))
        found |= ~result.null & result.data
    return Values(found != negated, left.null)


def _between(node: Any, scope: Scope) -> Values:
    value = evaluate(node.lexpr, scope)
    low, high = (evaluate(bound, scope) for bound in node.rexpr)
    above, below = apply_operator(">=", value, low), apply_operator("<=", value, high)
    inside = Values(above.data & below.data, above.null | below.null)
    if node.kind == A_Expr_Kind.AEXPR_NOT_BETWEEN:
        return Values(~inside.data, inside.null)
    return inside


def _distinct(node: Any, scope: Scope) -> Values:
    left, right = evaluate(node.lexpr, scope), evaluate(node.rexpr, scope)
    equal = apply_operator("=", left, right)
    same = np.where(equal.null, left.null & right.null, equal.data)
    return of(same if node.kind == A_Expr_Kind.AEXPR_NOT_DISTINCT else ~same)


def _nullif(node: Any, scope: Scope) -> Values:
    left, right = evaluate(node.lexpr, scope), evaluate(node.rexpr, scope)
    equal = apply_operator("=", left, right)
    return Values(left.data, left.null | (~equal.null & equal.data))


def _coalesce(node: Any, scope: Scope) -> Values:
    result = evaluate(node.args[0], scope)
    for argument in node.args[1:]:
        if not result.null.any():
            break
        other = evaluate(argument, scope)
        rest = result.null
        result = other if rest.all() else result.put(rest, other.take(rest))
    return result


def _min_max(node: Any, scope: Scope) -> Values:
    name = "<" if node.op == MinMaxOp.IS_LEAST else ">"
    result = evaluate(node.args[0], scope)
    for argument in node.args[1:]:
        other = evaluate(argument, scope)
        better = apply_operator(name, other, result)
        wanted = (~other.null & result.null) | (~better.null & better.data)
        result = result.put(wanted, other.take(wanted)) if wanted.any() else result
    return result


def _case(node: Any, scope: Scope) -> Values:
    result = evaluate(node.defresult, scope) if node.defresult else nulls(scope.rows)
    subject = evaluate(node.arg, scope) if node.arg else None
    for branch in reversed(node.args):
        condition = evaluate(branch.expr, scope)
        if subject is not None:
            condition = apply_operator("=", subject, condition)
        taken = ~condition.null & _truth(condition).data
        value = evaluate(branch.result, scope)
        if result.null.all():
            result = Values(np.zeros(scope.rows, value.data.dtype), result.null)
        if taken.any():
            result = result.put(taken, value.take(taken))
    return result


def _function(node: Any, scope: Scope) -> Values:
    name = node.funcname[-1].sval
    arguments = [evaluate(argument, scope) for argument in node.args or ()]
    if name in FUNCTIONS:
        return FUNCTIONS[name](*arguments)
    raise UnknownExpression(f"function {name} is not supported")


def _array(node: Any, scope: Scope) -> Values:
    elements = [evaluate(element, scope) for element in node.elements or ()]
    rows = zip(*(e.data for e in elements), strict=True) if elements else [()] * scope.rows
    return of(objects([list(row) for row in rows]))


_CLASSES = {"[[:alnum:]": "[[a-zA-Z0-9", "[:alnum:]": "a-zA-Z0-9", "[:alpha:]": "a-zA-Z"}
_CLASSES |= {"[:digit:]": "0-9", "[:space:]": r"\s", "[:upper:]": "A-Z", "[:lower:]": "a-z"}
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MATCHES = ("~", "~*", "!~", "!~*", "~~", "~~*", "!~~", "!~~*")
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": lambda a, b: a // b if _integers(a, b) else a / b,
    "%": operator.mod,
}
_KINDS = {
    A_Expr_Kind.AEXPR_OP: _operator,
    A_Expr_Kind.AEXPR_OP_ANY: _any_of,
    A_Expr_Kind.AEXPR_OP_ALL: _all_of,
    A_Expr_Kind.AEXPR_IN: _in,
    A_Expr_Kind.AEXPR_LIKE: _operator,
    A_Expr_Kind.AEXPR_ILIKE: _operator,
    A_Expr_Kind.AEXPR_BETWEEN: _between,
    A_Expr_Kind.AEXPR_NOT_BETWEEN: _between,
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
    "A_ArrayExpr": _array,
}


def _integers(a: Any, b: Any) -> bool:
    return bool(np.issubdtype(a.dtype, np.integer) and np.issubdtype(b.dtype, np.integer))
