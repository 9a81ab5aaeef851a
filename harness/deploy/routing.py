"""Queries of functions with the tenant at each table, for Citus to see where they go.

Citus sends a query to one shard where it knows the tenant of each table as a value. Equalities tell
it that within a join, but not from one level of a query to another: not in a correlated subquery,
by way of a WITH query that is used twice, or of the nullable side of a join. Most such queries it
cannot plan at all. So where a statement has its tenant as a value, tables that it ties to that
tenant in these ways are read with the value too. The rows are the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from typing import Any

from pglast import ast, enums
from pglast.visitors import Visitor

from harness.deploy.queries import Piece, rewritten

_WORD = r'(?:"[^"]+"|\w+)'
_TABLE = re.compile(rf"{_WORD}\s*\.\s*{_WORD}")
_WHERE = re.compile(r"\bWHERE\s+", re.IGNORECASE)
_ALIAS = re.compile(rf"\s+(?:AS\s+)?{_WORD}", re.IGNORECASE)

Column = tuple[str, ...]
Equality = tuple[Column, Column]


def with_tenant(text: str, column: str) -> str:
    """CREATE FUNCTION in PL/pgSQL whose queries have the tenant at each table that is theirs."""
    if text.count(column) < 2:
        return text

    def read_with_it(tree: Any, query: str, variables: Set[str]) -> Iterator[Piece]:
        levels = _Levels(column, variables)
        levels(tree)
        yield from levels.untold(query)

    return rewritten(text, read_with_it)


@dataclass
class _Level:
    """The tables of one SELECT, UPDATE or DELETE and what their tenants are equal to."""

    tables: dict[str, Any] = field(default_factory=dict)
    """By their aliases; None for the one that is changed."""
    certain: list[Equality] = field(default_factory=list)
    """What holds for all rows."""
    outer: list[Equality] = field(default_factory=list)
    """What an outer join joins on."""
    condition: Any = None
    """Its WHERE."""

    def enter(self, source: Any, holds: list[Equality]) -> None:
        """Takes an item of FROM."""
        if isinstance(source, ast.JoinExpr):
            left = source.jointype in (enums.JoinType.JOIN_INNER, enums.JoinType.JOIN_LEFT)
            right = source.jointype in (enums.JoinType.JOIN_INNER, enums.JoinType.JOIN_RIGHT)
            self.enter(source.larg, holds if left else self.outer)
            self.enter(source.rarg, holds if right else self.outer)
            (holds if left and right else self.outer).extend(_equalities(source.quals))
        elif isinstance(source, ast.RangeVar) and source.schemaname:
            self.tables[_alias(source)] = source

    def tenants(self, among: list[Equality], column: str) -> Iterator[tuple[str, Column]]:
        """Tables and what equals their tenant."""
        for pair in among:
            for one, other in (pair, pair[::-1]):
                if len(one) == 2 and one[1] == column and one[0] in self.tables:
                    yield one[0], other


class _Levels(Visitor):
    """The levels of a statement, and where in it Citus knows the tenant."""

    def __init__(self, column: str, variables: Set[str]) -> None:
        self.column = column
        self.variables = variables
        self.levels: list[_Level] = []
        self.aliases: set[str] = set()

    def visit_SelectStmt(self, _: Any, node: Any) -> None:
        self._add(node.fromClause, node.whereClause)

    def visit_UpdateStmt(self, _: Any, node: Any) -> None:
        self._add(node.fromClause, node.whereClause, node.relation)

    def visit_DeleteStmt(self, _: Any, node: Any) -> None:
        self._add(node.usingClause, node.whereClause, node.relation)

    def visit_Alias(self, _: Any, node: Any) -> None:
        self.aliases.add(str(node.aliasname))

    def visit_RangeVar(self, _: Any, node: Any) -> None:
        self.aliases.add(_alias(node))

    def _add(self, sources: Any, condition: Any, changed: Any = None) -> None:
        level = _Level(condition=condition)
        if changed is not None:
            level.tables[_alias(changed)] = None
        level.certain.extend(_equalities(condition))
        for source in sources or ():
            level.enter(source, level.certain)
        self.levels.append(level)

    def untold(self, text: str) -> Iterator[Piece]:
        """Tables that are tied to the one tenant of the statement where Citus does not follow."""
        given = {value for level in self.levels for _, value in self._values(level)}
        if len(given) == 1:
            condition = f"{self.column} = {'.'.join(given.pop())}"
            for level in self.levels:
                for alias, table in self._untold(level):
                    if table is not None:
                        yield _read_with(table, text, condition)
                    elif not _is_either(level.condition):
                        yield _changed_with(level, text, f"{alias}.{condition} AND ")

    def _values(self, level: _Level) -> Iterator[tuple[str, Column]]:
        for alias, other in level.tenants(level.certain + level.outer, self.column):
            if self._is_value(other):
                yield alias, other

    def _is_value(self, name: Column) -> bool:
        return name[0] in self.variables and name[0] not in self.aliases

    def _untold(self, level: _Level) -> Iterator[tuple[str, Any]]:
        told = {alias for alias, _ in self._values(level)}
        ties = list(level.tenants(level.certain, self.column))
        while more := {alias for alias, other in ties if other[0] in told} - told:
            told |= more
        told |= {
            alias for alias, other in level.tenants(level.outer, self.column) if other[0] in told
        }
        for alias, other in level.tenants(level.certain + level.outer, self.column):
            if alias not in told and other[1:] == (self.column,):
                told.add(alias)
                yield alias, level.tables[alias]


def _equalities(condition: Any) -> Iterator[Equality]:
    """Columns and variables that a condition equates."""
    if isinstance(condition, ast.BoolExpr) and condition.boolop == enums.BoolExprType.AND_EXPR:
        for part in condition.args:
            yield from _equalities(part)
    elif isinstance(condition, ast.A_Expr) and _is_equality(condition):
        sides = (condition.lexpr, condition.rexpr)
        rows = [s.args if isinstance(s, ast.RowExpr) else (s,) for s in sides]
        for left, right in zip(*rows, strict=False):
            if isinstance(left, ast.ColumnRef) and isinstance(right, ast.ColumnRef):
                yield _column(left), _column(right)


def _is_equality(expression: ast.A_Expr) -> bool:
    return expression.kind == enums.A_Expr_Kind.AEXPR_OP and [
        str(part.sval) for part in expression.name
    ] == ["="]


def _column(reference: ast.ColumnRef) -> Column:
    return tuple(str(getattr(part, "sval", "*")) for part in reference.fields)


def _alias(table: Any) -> str:
    return str(table.alias.aliasname if table.alias else table.relname)


def _is_either(condition: Any) -> bool:
    return isinstance(condition, ast.BoolExpr) and condition.boolop == enums.BoolExprType.OR_EXPR


def _changed_with(level: _Level, text: str, condition: str) -> Piece:
    """A further condition, first in the WHERE of an UPDATE or DELETE."""
    places = _Places()
    places(level.condition)
    *_, found = _WHERE.finditer(text, 0, min(places.found) + 1)
    return Piece(found.end(), found.end(), condition)


class _Places(Visitor):
    """Where the parts of an expression stand."""

    def __init__(self) -> None:
        self.found: list[int] = []

    def visit(self, _: Any, node: Any) -> None:
        place = getattr(node, "location", None)
        if isinstance(place, int) and place >= 0:
            self.found.append(place)


def _read_with(table: Any, text: str, condition: str) -> Piece:
    found = _TABLE.match(text, table.location)
    assert found  # noqa: S101 - the parser found one there
    alias = _ALIAS.match(text, found.end()) if table.alias else None
    end = (alias or found).end()
    written, name = text[table.location : end], _alias(table)
    read = f"(SELECT * FROM {written} WHERE {name}.{condition}) AS {name}"  # noqa: S608 - of the text itself
    return Piece(table.location, end, read)
