"""Queries of functions with the tenant at each table, for Citus to see where they go.

Citus sends a query to one shard where it knows the tenant of each table as a value. Equalities tell
it that within a join, but not from one level of a query to another: not in a correlated subquery,
by way of a WITH query that is used twice, or of the nullable side of a join. Most such queries it
cannot plan at all. So a table of such a query stands as `(SELECT * FROM t WHERE tenant = …)`, which
is what row security makes of it: PostgreSQL pulls it up as it does a table's own conditions.

Where the tenant of a query is known, that is done to all tables of one that has several. Where it
is not, as in a function with the rights of its owner, which may read several tenants, it is done to
those that the query ties to the one tenant that it names. The rows are the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pglast import ast, enums
from pglast.visitors import Visitor

from harness.catalog.model import Name
from harness.catalog.parsing import parse_sql
from harness.deploy.queries import Piece, rewritten, with_pieces

_WORD = r'(?:"[^"]+"|\w+)'
_TABLE = re.compile(rf"{_WORD}\s*\.\s*{_WORD}")
_WHERE = re.compile(r"\bWHERE\s+", re.IGNORECASE)
_ALIAS = re.compile(rf"\s+(?:AS\s+)?{_WORD}", re.IGNORECASE)
_SYSTEM = re.compile(r"\b(?:ctid|xmin|xmax|cmin|cmax|tableoid)\b", re.IGNORECASE)
"""What a table has and a query of it has not."""
_ROW = "harness_row"
"""No variable of a function is called so, nor a table that it names columns by."""

Column = tuple[str, ...]
Equality = tuple[Column, Column]
Whose = Callable[[str], str]
"""The tenant of all that a query reads, as it is written; empty where that is not known."""


class Relations(NamedTuple):
    """What a query may read."""

    tables: Mapping[Name, str]
    """Those with a tenant column, which it is quoted by."""
    views: Mapping[Name, str] = {}
    """Queries of views that read with the rights of whoever asks."""


def with_tenant(text: str, column: str, relations: Relations, whose: Whose) -> str:
    """CREATE FUNCTION in PL/pgSQL whose queries have the tenant at each table that is theirs."""

    def read_with_it(tree: Any, query: str, variables: Set[str]) -> Iterator[Piece]:
        levels = _Levels(column, variables)
        levels(tree)
        known = levels.known(query, relations, whose(query))
        yield from {**levels.tied(query), **known}.values()

    return rewritten(text, read_with_it)


def row_tenant(query: str, column: str) -> str:
    """The tenant of the row that a trigger is run for, where a query names just one."""
    named = set(re.findall(rf"\b(?:NEW|OLD)\.{re.escape(column)}\b", query))
    return named.pop() if len(named) == 1 else ""


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
        elif isinstance(source, ast.RangeVar) and source.schemaname and source.inh:
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
        self.bare: set[str] = set()
        """Columns that no table is named with."""

    def visit_SelectStmt(self, _: Any, node: Any) -> None:
        self._add(node.fromClause, node.whereClause)

    def visit_UpdateStmt(self, _: Any, node: Any) -> None:
        self._add(node.fromClause, node.whereClause, node.relation)

    def visit_DeleteStmt(self, _: Any, node: Any) -> None:
        self._add(node.usingClause, node.whereClause, node.relation)

    def visit_Alias(self, _: Any, node: Any) -> None:
        self.aliases.add(str(node.aliasname))

    def visit_ColumnRef(self, _: Any, node: Any) -> None:
        if len(node.fields) == 1:
            self.bare.add(_column(node)[0])

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

    def known(self, text: str, relations: Relations, tenant: str) -> dict[int, Piece]:
        """All tables of a query that has several, of the tenant; by the places where they stand."""
        if not tenant or _SYSTEM.search(text):
            return {}
        pieces = {piece.start: piece for piece in self.of_tenant(text, relations, tenant)}
        return pieces if len(pieces) > 1 else {}

    def of_tenant(self, text: str, relations: Relations, tenant: str) -> Iterator[Piece]:
        """All tables, and views with theirs."""
        for table in self._read():
            if column := relations.tables.get(_name(table)):
                yield _read_with(table, text, f"{column} = {tenant}")
            elif query := relations.views.get(_name(table)):
                yield from self._view(table, text, query.rstrip("; \n"), relations, tenant)

    def _view(
        self, table: Any, text: str, query: str, relations: Relations, tenant: str
    ) -> Iterator[Piece]:
        """A view's query with the tenant at each table, unless a variable would be read in it."""
        levels = _Levels(self.column, self.variables)
        levels(parse_sql(query)[0].stmt)
        if not levels.bare & self.variables:
            held = with_pieces(query, levels.of_tenant(query, relations, tenant))
            yield _standing_for(table, text, f"({held})")

    def _read(self) -> list[Any]:
        return [table for level in self.levels for table in level.tables.values() if table]

    def tied(self, text: str) -> dict[int, Piece]:
        """Tables that are tied to the one tenant of the statement where Citus does not follow, and
        what is changed; by their places."""
        given = {value for level in self.levels for _, value in self._values(level)}
        if len(given) != 1:
            return {}
        condition = f"{self.column} = {'.'.join(given.pop())}"
        found = (self._with(level, text, condition) for level in self.levels)
        return {piece.start: piece for pieces in found for piece in pieces}

    def _with(self, level: _Level, text: str, condition: str) -> Iterator[Piece]:
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


def _name(table: Any) -> Name:
    return Name(table.schemaname, table.relname)


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
    name = text[table.location : _written(table, text).end()]
    query = f"SELECT * FROM {name} AS {_ROW} WHERE {_ROW}.{condition}"  # noqa: S608 - its own text
    return _standing_for(table, text, f"({query})")


def _standing_for(table: Any, text: str, query: str) -> Piece:
    """A query in place of a table, by whose name or alias it is known."""
    name = _written(table, text)
    alias = _ALIAS.match(text, name.end()) if table.alias else None
    return Piece(table.location, (alias or name).end(), f"{query} AS {_alias(table)}")


def _written(table: Any, text: str) -> re.Match[str]:
    found = _TABLE.match(text, table.location)
    assert found  # noqa: S101 - the parser found one there
    return found
