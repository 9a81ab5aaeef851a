"""What policies compare columns with: the session's side of each comparison."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pglast import ast
from pglast.enums import A_Expr_Kind

from harness.catalog.files.expressions import deparse, parse, walk
from harness.catalog.model import Catalog, Name
from harness.catalog.source import Source

_LITERAL = re.compile(r"CAST\(('(?:[^']|'')*') AS text\)")
_CALL = re.compile(r"([\w.]+)\s*\(")
_SETTING = re.compile(r"current_setting\s*\(\s*'([^']+)'", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A column that a policy of a table compares with what the session says."""

    table: Name
    column: str
    session: str
    """The session's side as text, without the subquery that wraps it."""
    by_membership: bool = False
    """Whether it asks rows of other tables, or is a function that is given the column."""


@dataclass(frozen=True, slots=True)
class Session:
    """Where an expression gets the tenant from."""

    setting: str = ""
    claim: str = ""
    by_role: bool = False


def comparisons(catalog: Catalog) -> Iterator[Comparison]:
    """Each `column = session` in USING and WITH CHECK, each once per table."""
    for table in catalog.tables.values():
        if table.partition_of is not None:
            continue
        found = {
            Comparison(table.name, column, session, by_membership): None
            for policy in table.policies
            for text in (policy.using, policy.check)
            for column, session, by_membership in _compared(parse(text) if text else None)
            if column in table.columns
        }
        yield from found


def _compared(tree: Any) -> Iterator[tuple[str, str, bool]]:
    for node in walk(tree) if tree is not None else ():
        if isinstance(node, ast.A_Expr) and _is_equality(node):
            yield from _pair(node.lexpr, node.rexpr)
            yield from _pair(node.rexpr, node.lexpr)
        elif isinstance(node, ast.SubLink) and node.testexpr is not None:
            yield from _asked(_bare(node.testexpr), node.subselect)
        elif isinstance(node, ast.FuncCall):
            for argument in node.args or ():
                if isinstance(_bare(argument), ast.ColumnRef):
                    yield _name(_bare(argument)), _spelled(node), True


def _is_equality(node: ast.A_Expr) -> bool:
    kinds = (A_Expr_Kind.AEXPR_OP, A_Expr_Kind.AEXPR_OP_ANY)
    return node.kind in kinds and node.name[-1].sval == "=" and node.lexpr is not None


def _pair(own: Any, other: Any) -> Iterator[tuple[str, str, bool]]:
    column, session = _bare(own), _unwrapped(other)
    if isinstance(column, ast.ColumnRef):
        if isinstance(session, ast.CoalesceExpr) and _falls_back_to(column, session):
            session = session.args[0]
        if isinstance(session, ast.SubLink):
            yield from _asked(column, session.subselect)
        elif _is_of_session(session):
            yield _name(column), _spelled(session), False


def _falls_back_to(column: ast.ColumnRef, session: ast.CoalesceExpr) -> bool:
    """Whether every row is the session's that names none: a fault, but it tells what names one."""
    return any(_bare(argument) == column for argument in session.args[1:])


def _asked(column: Any, query: Any) -> Iterator[tuple[str, str, bool]]:
    """column = (SELECT …), column IN (SELECT …) where the query asks for the session."""
    called = (ast.FuncCall, ast.SQLValueFunction)
    if isinstance(column, ast.ColumnRef) and any(isinstance(n, called) for n in walk(query)):
        yield _name(column), f"({_spelled(query)})", True


def _name(column: ast.ColumnRef) -> str:
    return str(getattr(column.fields[-1], "sval", "*"))


def _spelled(node: Any) -> str:
    """As somebody would write it: PostgreSQL says of every literal that it is text."""
    return _LITERAL.sub(r"\1", deparse(node))


def _bare(node: Any) -> Any:
    while isinstance(node, ast.TypeCast):
        node = node.arg
    return node


def _unwrapped(node: Any) -> Any:
    """(SELECT x) and casts of it are x."""
    if isinstance(node, ast.SubLink):
        query = node.subselect
        if isinstance(query, ast.SelectStmt) and not query.fromClause and query.targetList:
            return query.targetList[0].val
    return node


def _is_of_session(node: Any) -> bool:
    """Whether an expression calls something and names no column."""
    nodes = list(walk(node))
    told = any(isinstance(each, ast.FuncCall | ast.SQLValueFunction) for each in nodes)
    return told and not any(isinstance(e, ast.ColumnRef | ast.RangeVar) for e in nodes)


def session_of(expression: str, source: Source) -> Session:
    """Where an expression gets the tenant from: itself, or the functions that it calls."""
    tree = parse(expression)
    nodes = list(walk(tree))
    if any(isinstance(n, ast.SQLValueFunction) for n in nodes):
        return Session(by_role=True)
    claim = ".".join(reversed(list(_keys(tree))))
    called = {".".join(p.sval for p in n.funcname) for n in nodes if isinstance(n, ast.FuncCall)}
    if settings := _SETTING.findall(expression):
        return Session(settings[0], claim)
    if "auth.jwt" in called:
        return Session("request.jwt.claims", claim)
    if "auth.uid" in called:
        return Session("request.jwt.claims", "sub")
    return _of_functions(called, source)


def _of_functions(called: set[str], source: Source) -> Session:
    """What the bodies of functions read, or those of the functions that they call in turn."""
    waiting, seen = called, set[str]()
    while waiting:
        bodies = [
            source.definitions.get(function.signature, "")
            for function in source.catalog.functions
            if {str(function.name), function.name.name} & waiting
        ]
        for body in bodies:
            if (told := _of_body(body)) is not None:
                return told
        seen |= waiting
        waiting = set(_CALL.findall(" ".join(bodies))) - seen
    return Session()


def _of_body(body: str) -> Session | None:
    if settings := _SETTING.findall(body):
        return Session(settings[0], ".".join(re.findall(r"->>?\s*'([^']+)'", body)))
    if re.search(r"\bauth\.uid\(\)", body):
        return Session("request.jwt.claims", "sub")
    return Session(by_role=True) if re.search(r"\bcurrent_user\b", body, re.IGNORECASE) else None


def _keys(node: Any) -> Iterator[str]:
    """The keys of a -> b ->> c, last first."""
    for each in walk(node):
        if isinstance(each, ast.A_Expr) and each.name[-1].sval in ("->", "->>"):
            key = _bare(each.rexpr)
            if isinstance(key, ast.A_Const) and isinstance(key.val, ast.String):
                yield str(key.val.sval)
