"""Evaluates policies from their text, where no database is at hand.

Four values: what SQL calls true, false and NULL, and unknown for whatever cannot be told from
the text. Unknown is never guessed away: it makes the answer unknown unless the rest decides.
A cast is the identity, but for an empty text that becomes a key, which is PostgreSQL's error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pglast import ast
from pglast.enums import A_Expr_Kind, BoolExprType, NullTestType, SubLinkType

from checks.policy import returns
from checks.policy.judgment import Judgment
from checks.policy.question import Answer, Candidate, Context, Outcome, Question, Tenants
from harness.catalog.files.expressions import parse
from harness.catalog.source import Source
from harness.config import Settings, Tenancy

_TEXTS = ("text", "varchar", "bpchar", "name")


class _Unknown:
    """What the text does not tell."""


UNKNOWN = _Unknown()


@dataclass(frozen=True, slots=True)
class Json:
    """A JSON document."""

    content: Any


Value = str | bool | None | Json | _Unknown


class Raised(Exception):
    """The expression ends in an error, as PostgreSQL would end it."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What names mean: columns of the row, settings of the session, functions of the source."""

    columns: Mapping[str, str | None]
    relation: str
    settings: Mapping[str, str | None]
    """A setting that is None was never set."""
    bodies: Mapping[str, str]
    """Expressions of functions without arguments, by qualified name."""
    role: str = ""
    """The session's role."""


def judgment(source: Source, settings: Settings) -> Judgment:
    """The truth table of a source's policies, as far as its text tells."""
    tenants = Tenants.of_settings(settings.tenancy)

    def evaluator(questions: Sequence[Question]) -> dict[Question, Answer]:
        bodies = returns.bodies(source)
        return {question: evaluate(question, bodies, settings, tenants) for question in questions}

    return Judgment(source, settings, tenants, evaluator, of_text=True)


def evaluate(
    question: Question, bodies: Mapping[str, str], settings: Settings, tenants: Tenants
) -> Answer:
    """The answer, as far as the text gives it; bodies are expressions of functions by name."""
    trees = [parse(text) for text in question.expressions]
    tenancy = settings.tenancy

    def outcomes(candidate: Candidate, context: Context) -> tuple[Outcome, ...]:
        columns = {name: v for (name, _), v in zip(question.others, candidate.others, strict=True)}
        columns[question.tenant_column] = tenants.of(candidate.tenant)
        said = {tenancy.setting: _setting(context, tenants, tenancy)}
        role = _role(context, tenants, settings)
        scope = Scope(columns, question.relation, said, bodies, role)
        return tuple(_outcome(tree, scope) for tree in trees)

    return {
        context: {candidate: outcomes(candidate, context) for candidate in question.candidates}
        for context in Context
    }


def _setting(context: Context, tenants: Tenants, tenancy: Tenancy) -> str | None:
    """What the setting holds: the tenant, or a document with the tenant in it."""
    if tenancy.by_role:
        return None
    tenant: Any = "" if context is Context.EMPTY else tenants.said(context)
    if not tenant or not tenancy.claim:
        return None if tenant is None else str(tenant)
    for key in reversed(tenancy.claim.split(".")):
        tenant = {key: tenant}
    return json.dumps(tenant)


def _role(context: Context, tenants: Tenants, settings: Settings) -> str:
    """What current_user is: the tenant where roles are tenants, else the application's role."""
    said = tenants.said(context) if settings.tenancy.by_role else None
    return said or settings.roles.app


def _outcome(tree: Any, scope: Scope) -> Outcome:
    try:
        value = value_of(tree, scope)
    except Raised:
        return "error"
    except RecursionError:
        return "unknown"
    if isinstance(value, _Unknown):
        return "unknown"
    return "true" if value in (True, "true", "t") else "false"


def value_of(node: Any, scope: Scope) -> Value:
    """The value of an expression; raises Raised where PostgreSQL would raise."""
    reader = _READERS.get(type(node))
    return UNKNOWN if reader is None else reader(node, scope)


def _column(node: Any, scope: Scope) -> Value:
    names = [getattr(field, "sval", "*") for field in node.fields]
    if len(names) > 1 and names[-2] != scope.relation:
        return UNKNOWN
    value: Value = scope.columns.get(names[-1], UNKNOWN)
    return value


def _constant(node: Any, _: Scope) -> Value:
    if node.isnull:
        return None
    value = node.val
    if isinstance(value, ast.Boolean):
        return bool(value.boolval)
    if isinstance(value, ast.Integer):
        return str(value.ival or 0)
    return str(getattr(value, "sval", None) or getattr(value, "fval", ""))


def _cast(node: Any, scope: Scope) -> Value:
    value = value_of(node.arg, scope)
    type = node.typeName.names[-1].sval
    if value == "" and type not in _TEXTS:
        raise Raised
    if type in ("json", "jsonb") and isinstance(value, str):
        return _document(value)
    if isinstance(value, Json) and type not in ("json", "jsonb"):
        return UNKNOWN
    if type == "bool" and value in ("true", "t", "false", "f"):
        return value in ("true", "t")
    return value


def _document(text: str) -> Json:
    try:
        return Json(json.loads(text))
    except ValueError:
        raise Raised from None


def _part(operator: str, document: Json, key: Value) -> Value:
    """document -> key, document ->> key, document #>> '{a,b}'."""
    content = document.content
    keys = str(key).strip("{}").split(",") if operator.startswith("#") else [str(key)]
    for each in keys:
        content = content.get(each) if isinstance(content, dict) else None
    if not operator.endswith(">>"):
        return None if content is None else Json(content)
    if content is None or isinstance(content, str):
        return content
    return json.dumps(content)


def _bool(node: Any, scope: Scope) -> Value:
    if node.boolop == BoolExprType.NOT_EXPR:
        value = value_of(node.args[0], scope)
        return value if value is None or isinstance(value, _Unknown) else not _is_true(value)
    decides: bool = node.boolop == BoolExprType.OR_EXPR
    values = [_settled(argument, scope) for argument in node.args]
    if any(isinstance(v, bool | str) and _is_true(v) is decides for v in values):
        return decides
    if any(value is Raised for value in values):
        raise Raised
    undecided = [v for v in values if v is None or isinstance(v, _Unknown)]
    if not undecided:
        return not decides
    return UNKNOWN if any(isinstance(v, _Unknown) for v in undecided) else None


def _settled(node: Any, scope: Scope) -> Any:
    """A value, or Raised itself: another branch may decide before the error is met."""
    try:
        return value_of(node, scope)
    except Raised:
        return Raised


def _is_true(value: Value) -> bool:
    return value in (True, "true", "t")


def _operator(node: Any, scope: Scope) -> Value:
    if node.kind == A_Expr_Kind.AEXPR_NULLIF:
        left, right = value_of(node.lexpr, scope), value_of(node.rexpr, scope)
        if isinstance(left, _Unknown) or isinstance(right, _Unknown):
            return UNKNOWN
        return None if left is not None and left == right else left
    if node.kind == A_Expr_Kind.AEXPR_IN:
        return _in(node, scope)
    if node.kind in (A_Expr_Kind.AEXPR_DISTINCT, A_Expr_Kind.AEXPR_NOT_DISTINCT):
        return _distinct(node, scope)
    if node.kind != A_Expr_Kind.AEXPR_OP or node.lexpr is None:
        return UNKNOWN
    name, left = node.name[-1].sval, value_of(node.lexpr, scope)
    right = value_of(node.rexpr, scope)
    if name in ("->", "->>", "#>", "#>>") and isinstance(left, Json) and right is not None:
        return UNKNOWN if isinstance(right, _Unknown) else _part(name, left, right)
    return _compared(name, left, right)


def _compared(operator: str, left: Value, right: Value) -> Value:
    if isinstance(left, _Unknown | Json) or isinstance(right, _Unknown | Json):
        return UNKNOWN
    if left is None or right is None:
        return None
    same = _text(left) == _text(right)
    return {"=": same, "<>": not same, "!=": not same}.get(operator, UNKNOWN)


def _text(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else value


def _in(node: Any, scope: Scope) -> Value:
    left = value_of(node.lexpr, scope)
    found = [_compared("=", left, value_of(item, scope)) for item in node.rexpr]
    value: Value = UNKNOWN
    if True in found:
        value = True
    elif not any(isinstance(each, _Unknown) for each in found):
        value = None if None in found else False
    negated = node.name[-1].sval == "<>"
    return not value if negated and isinstance(value, bool) else value


def _distinct(node: Any, scope: Scope) -> Value:
    left, right = value_of(node.lexpr, scope), value_of(node.rexpr, scope)
    if isinstance(left, _Unknown) or isinstance(right, _Unknown):
        return UNKNOWN
    return (left == right) is (node.kind == A_Expr_Kind.AEXPR_NOT_DISTINCT)


def _null_test(node: Any, scope: Scope) -> Value:
    value = value_of(node.arg, scope)
    if isinstance(value, _Unknown):
        return UNKNOWN
    return (value is None) is (node.nulltesttype == NullTestType.IS_NULL)


def _boolean_test(node: Any, scope: Scope) -> Value:
    value = value_of(node.arg, scope)
    if isinstance(value, _Unknown):
        return UNKNOWN
    kind = node.booltesttype.name
    wanted = {"TRUE": value is not None and _is_true(value), "UNKNOWN": value is None}
    wanted["FALSE"] = value is not None and not _is_true(value)
    return wanted[kind.rpartition("_")[2]] is ("NOT" not in kind)


def _coalesce(node: Any, scope: Scope) -> Value:
    for argument in node.args:
        value = value_of(argument, scope)
        if value is not None:
            return value
    return None


def _case(node: Any, scope: Scope) -> Value:
    for when in node.args:
        condition = value_of(when.expr, scope)
        if node.arg is not None:
            condition = _compared("=", value_of(node.arg, scope), condition)
        if isinstance(condition, _Unknown):
            return UNKNOWN
        if _is_true(condition):
            return value_of(when.result, scope)
    return None if node.defresult is None else value_of(node.defresult, scope)


def _sub_select(node: Any, scope: Scope) -> Value:
    """(SELECT expression) is the expression; whatever reads a table is not known."""
    query = node.subselect
    scalar = node.subLinkType == SubLinkType.EXPR_SUBLINK
    if not scalar or query.fromClause or query.whereClause or len(query.targetList or ()) != 1:
        return UNKNOWN
    return value_of(query.targetList[0].val, scope)


def _call(node: Any, scope: Scope) -> Value:
    name = ".".join(part.sval for part in node.funcname)
    if name.removeprefix("pg_catalog.") == "current_setting":
        return _current_setting(node, scope)
    body = scope.bodies.get(name) or scope.bodies.get(f"public.{name}")
    if body is None or node.args:
        return UNKNOWN
    # The function sees no row: only what the session says.
    return value_of(parse(body), Scope({}, "", scope.settings, scope.bodies, scope.role))


def _session(node: Any, scope: Scope) -> Value:
    """CURRENT_USER and its other names."""
    named = node.op.name.removeprefix("SVFOP_")
    return scope.role if named in ("CURRENT_USER", "CURRENT_ROLE", "USER") else UNKNOWN


def _current_setting(node: Any, scope: Scope) -> Value:
    asked = value_of(node.args[0], scope)
    if not isinstance(asked, str) or isinstance(asked, bool):
        return UNKNOWN
    # A setting of the application's that nobody is known to set was never set.
    value = scope.settings.get(asked) if "." in asked else UNKNOWN
    if value is None and len(node.args) == 1:
        raise Raised
    return value


_READERS: dict[type, Callable[[Any, Scope], Value]] = {
    ast.A_Const: _constant,
    ast.A_Expr: _operator,
    ast.BoolExpr: _bool,
    ast.BooleanTest: _boolean_test,
    ast.CaseExpr: _case,
    ast.CoalesceExpr: _coalesce,
    ast.ColumnRef: _column,
    ast.FuncCall: _call,
    ast.NullTest: _null_test,
    ast.SQLValueFunction: _session,
    ast.SubLink: _sub_select,
    ast.TypeCast: _cast,
}
