"""The same statement with the tenant's predicate written beside every table, for a session that
row security is not for.

A table that is read becomes `(SELECT * FROM t WHERE t.tenant = …) AS t`, which is what row
security makes of it: the planner pulls such a query up wherever it pulls a table's own conditions
up, the inner side of an outer join too. A table that is changed cannot be a query, so its
predicate joins the WHERE clause. The text is edited where the parser says that a table stands;
all else of it, comments included, stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pglast import ast, parser

from harness.catalog.model import Name
from harness.catalog.parsing import unvalidated

_CTES = (ast.SelectStmt, ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt)
_NOT_READ = {"lockedRels", "into", "intoClause"}
"""Places where a table is named and not read there."""
_SYSTEM = {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"}


class NotRewritten(ValueError):
    """A statement that has no form with explicit predicates, and why."""


@dataclass(frozen=True, slots=True)
class Predicate:
    """Which relations belong to tenants, and what their tenant column is held against."""

    relations: frozenset[Name]
    """Tables and views that have the column."""
    column: str
    """The tenant column, quoted where it must be."""
    value: str
    """An expression, as `$1::uuid`."""


@dataclass(frozen=True, slots=True)
class _Edit:
    start: int
    end: int
    text: str


@unvalidated()
def rewritten(statement: str, predicate: Predicate) -> str:
    """The statement with a predicate beside every table of `relations`.

    Raises NotRewritten where that cannot be said: MERGE, ONLY, a sample of a table, system
    columns, or a text that does not parse.
    """
    try:
        (parsed,) = parser.parse_sql(statement)
        tokens = parser.scan(statement)
    except parser.ParseError as error:
        raise NotRewritten(f"it does not parse: {error}") from None
    except ValueError:
        raise NotRewritten("it is not one statement") from None
    edits = _Statement(statement, tokens, predicate).edits(parsed.stmt)
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        statement = statement[: edit.start] + edit.text + statement[edit.end :]
    return statement


class _Statement:
    """A statement's text and tokens, to find in them what the parser tells the place of."""

    def __init__(self, text: str, tokens: Any, predicate: Predicate) -> None:
        self._text = text
        self._tokens = list(tokens)
        self._predicate = predicate
        self._bare: set[Name] = set()
        """Tables without an alias: columns named by schema and table lose the schema."""

    def edits(self, root: ast.Node) -> list[_Edit]:
        """All edits, of tables first."""
        tables = list(self._of(root, frozenset()))
        return [*tables, *self._shortened(root)]

    def _of(self, node: Any, ctes: frozenset[str]) -> Iterator[_Edit]:
        if isinstance(node, tuple):
            for each in node:
                yield from self._of(each, ctes)
        if not isinstance(node, ast.Node):
            return
        if isinstance(node, ast.MergeStmt | ast.RangeTableSample):
            raise NotRewritten("MERGE and TABLESAMPLE are not rewritten")
        if isinstance(node, _CTES) and node.withClause is not None:
            ctes = ctes | {cte.ctename for cte in node.withClause.ctes}
        if isinstance(node, ast.RangeVar):
            yield from self._read(node, ctes)
            return
        if isinstance(node, ast.UpdateStmt | ast.DeleteStmt):
            yield from self._changed(node)
        for field in node:
            target = field == "relation" and isinstance(
                node, ast.InsertStmt | ast.UpdateStmt | ast.DeleteStmt
            )
            if not target and field not in _NOT_READ:
                yield from self._of(getattr(node, field), ctes)

    def _read(self, table: ast.RangeVar, ctes: frozenset[str]) -> Iterator[_Edit]:
        if not self._belongs(table) or (table.schemaname is None and table.relname in ctes):
            return
        if not table.inh:
            raise NotRewritten(f"ONLY {table.relname} is not rewritten")
        start, end = self._span(table)
        name = self._text[start:end]
        alias = ""
        if table.alias is None:
            alias = f" AS {name.rpartition('.')[2].strip()}"
            self._bare.add(_name(table))
        query = f"(SELECT * FROM {name} WHERE {self._held('')})"  # noqa: S608 - of the text itself
        yield _Edit(start, end, query + alias)

    def _changed(self, node: ast.UpdateStmt | ast.DeleteStmt) -> Iterator[_Edit]:
        table = node.relation
        if not self._belongs(table):
            return
        if not table.inh:
            raise NotRewritten(f"ONLY {table.relname} is not rewritten")
        start, end = self._span(table)
        called = self._text[start:end] if table.alias is None else table.alias.aliasname
        held = self._held(f"{called}.")
        where, stop = self._clause(end)
        if where is None:
            yield _Edit(stop, stop, f" WHERE {held} ")
        else:
            yield _Edit(where, where, f" {held} AND (")
            yield _Edit(stop, stop, ") ")

    def _held(self, prefix: str) -> str:
        return f"{prefix}{self._predicate.column} = {self._predicate.value}"

    def _belongs(self, table: ast.RangeVar) -> bool:
        return _name(table) in self._predicate.relations

    def _span(self, table: ast.RangeVar) -> tuple[int, int]:
        """Where a table's name stands, without its alias."""
        first = self._at(table.location)
        parts = sum(x is not None for x in (table.catalogname, table.schemaname, table.relname))
        last = self._tokens[first + 2 * (parts - 1)]
        return table.location, last.end + 1

    def _clause(self, after: int) -> tuple[int | None, int]:
        """Where the WHERE of an UPDATE or DELETE ends its word, and where the clause, or the
        statement without one, ends."""
        depth, where = 0, None
        for token in self._tokens:
            if token.start < after:
                continue
            if token.name == "ASCII_40":
                depth += 1
            elif token.name == "ASCII_41":
                depth -= 1
            if depth < 0 or (depth == 0 and token.name in ("RETURNING", "ASCII_59")):
                return where, token.start
            if depth == 0 and token.name == "WHERE":
                where = token.end + 1
        return where, len(self._text)

    def _shortened(self, node: Any) -> Iterator[_Edit]:
        """`shop.item.name` as `item.name`: the query that stands for a table has no schema."""
        if isinstance(node, tuple):
            for each in node:
                yield from self._shortened(each)
        if not isinstance(node, ast.Node):
            return
        if isinstance(node, ast.ColumnRef):
            yield from self._column(node)
            return
        for field in node:
            yield from self._shortened(getattr(node, field))

    def _column(self, column: ast.ColumnRef) -> Iterator[_Edit]:
        fields = column.fields or ()
        parts = [part.sval or "" for part in fields if isinstance(part, ast.String)]
        if parts and parts[-1] in _SYSTEM and len(parts) == len(fields):
            raise NotRewritten(f"it names the system column {parts[-1]}")
        if len(fields) == 3 and Name(parts[0], parts[1]) in self._bare:
            second = self._tokens[self._at(column.location) + 2]
            yield _Edit(column.location, second.start, "")

    def _at(self, location: int) -> int:
        return next(n for n, token in enumerate(self._tokens) if token.start == location)


def _name(table: ast.RangeVar) -> Name:
    return Name(table.schemaname or "public", table.relname or "")
