"""What is asked of a table's policies: expressions, rows and contexts.

Rows belong to tenant A, to tenant B or to nobody (NULL); the other columns that an expression
mentions take every value that could make a difference. Contexts are a session in which no
tenant was ever set, one in which it was set and is over (PostgreSQL then says ''), and sessions
of A and B.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from itertools import islice, product
from typing import Any, Literal

from pglast import ast

from checks.keys import tenant_key
from harness.catalog.files.expressions import parse, walk
from harness.catalog.model import Table
from harness.config import Tenancy

ROWS = ("A", "B", None)
_MOST_CANDIDATES = 96
_MOMENTS = ("2026-01-01", "now", "infinity")
_SAMPLES: Mapping[str, tuple[str, ...]] = {
    "text": ("x",),
    "character varying": ("x",),
    "integer": ("1",),
    "bigint": ("1",),
    "numeric": ("1",),
    "date": _MOMENTS,
    "timestamp without time zone": _MOMENTS,
    "timestamp with time zone": _MOMENTS,
    "uuid": ("00000000-0000-4000-8000-00000000000c",),
}
"""Values of a type that an expression may want: moments that are over, now, and to come."""
Outcome = Literal["true", "false", "error", "unknown"]


class Context(StrEnum):
    """What a session says of its tenant."""

    UNSET = "no tenant was ever set"
    EMPTY = "the tenant was set and is over"
    A = "tenant A"
    B = "tenant B"


@dataclass(frozen=True, slots=True)
class Tenants:
    """Two tenants as text, and what a session of each says of itself, which is mostly the same."""

    a: str
    b: str
    session_a: str = ""
    session_b: str = ""

    @classmethod
    def of_settings(cls, tenancy: Tenancy) -> Tenants:
        """The examples of the settings, or two that are made up."""
        found = cls(*tenancy.examples) if tenancy.examples else cls.made_up(tenancy.type)
        return replace(
            found, **dict(zip(("session_a", "session_b"), tenancy.identities or (), strict=False))
        )

    def said(self, context: Context) -> str | None:
        """What a session of a tenant says of itself; None for one without a tenant."""
        known = {
            Context.A: self.session_a or self.a,
            Context.B: self.session_b or self.b,
        }
        return known.get(context)

    @classmethod
    def made_up(cls, type: str) -> Tenants:
        """Two keys of a type that no database needs to hold; where that can be the one begins the
        other, for an expression that compares less than the whole."""
        if type == "uuid":
            return cls(f"{0:08}-0000-4000-8000-{10:012x}", f"{0:08}-0000-4000-8000-{11:012x}")
        return cls("1", "12") if "int" in type or type == "numeric" else cls("tenant", "tenant b")

    def of(self, row: str | None) -> str | None:
        """The key of a row's tenant."""
        return {"A": self.a, "B": self.b}.get(row or "")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row: whose it is, and the text of each of the other columns that count, or None."""

    tenant: str | None
    others: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """Expressions over rows of a relation; equal questions have equal answers."""

    expressions: tuple[str, ...]
    relation: str
    """The table's bare name where an expression mentions it, otherwise empty."""
    tenant_column: str
    tenant_type: str
    others: tuple[tuple[str, str], ...]
    """The other columns that are mentioned, and their types."""
    candidates: tuple[Candidate, ...]
    reads_tables: bool = False
    """Whether an expression asks what the question does not know: other rows, mostly."""


Answer = Mapping[Context, Mapping[Candidate, tuple[Outcome, ...]]]
"""Per context and row, the outcome of each expression."""


def ask(
    table: Table,
    expressions: Sequence[str],
    tenancy: Tenancy,
    tenants: Tenants,
    readers: frozenset[str] = frozenset(),
    identity: Collection[str] = (),
) -> Question | None:
    """The question for a table with the tenant's column; None where it has none. Readers are
    functions that read tables, by their bare names; `identity` are the columns that say whose a row
    is as the tenant's does; no row says both A and B."""
    column = tenant_key(table, tenancy)
    if column is None:
        return None
    tenant = table.columns[column]
    parts, literals, called, reads_tables = _mentions(tuple(expressions))
    reads_tables = reads_tables or not readers.isdisjoint(called)
    mentioned = {names[-1] for names in parts} & table.columns.keys() - {column}
    others = tuple((name, table.columns[name].type) for name in sorted(mentioned))
    values = [_values(type, tenant.type, literals, tenants) for _, type in others]
    combined = islice(_each_once(_combined(values)), _MOST_CANDIDATES)
    rows = tuple(Candidate(row, combination) for combination in combined for row in ROWS)
    at = [position for position, (name, _) in enumerate(others) if name in identity]
    rows = tuple(row for row in rows if _is_one_tenants(row, at, tenants))
    if tenants.session_a and all(names[-1] != column for names in parts):
        reads_tables = True  # which of the identities a row belongs to stands in the row alone
    named = any(names[-2:-1] == (table.name.name,) for names in parts)
    return Question(
        tuple(expressions),
        table.name.name if named else "",
        column,
        tenant.type,
        others,
        rows,
        reads_tables,
    )


def _is_one_tenants(row: Candidate, identity: Sequence[int], tenants: Tenants) -> bool:
    other = {"A": tenants.b, "B": tenants.a}.get(row.tenant or "")
    return all(row.others[position] != other for position in identity) if other else True


def functions_called(text: str) -> frozenset[str]:
    """The bare names of the functions that an expression calls."""
    return _mentions((text,))[2] if text else frozenset()


def _combined(values: Sequence[Sequence[str | None]]) -> Iterator[tuple[str | None, ...]]:
    """Every combination, those first in which one column differs from NULL: there may be more than
    are asked."""
    nothing = tuple(each[0] for each in values)
    yield nothing
    for position, each in enumerate(values):
        yield from ((*nothing[:position], value, *nothing[position + 1 :]) for value in each)
    yield from product(*values)


def _each_once(combinations: Iterator[tuple[str | None, ...]]) -> Iterator[tuple[str | None, ...]]:
    seen: set[tuple[str | None, ...]] = set()
    for combination in combinations:
        if combination not in seen:
            seen.add(combination)
            yield combination


@lru_cache(maxsize=4096)
def _mentions(
    expressions: tuple[str, ...],
) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...], frozenset[str], bool]:
    """The columns that expressions name, their literals, the functions that they call, and whether
    they read tables."""
    nodes = [node for text in expressions for node in walk(parse(text))]
    parts = tuple(_parts(node) for node in nodes if isinstance(node, ast.ColumnRef))
    literals = tuple(sorted({text for node in nodes if (text := _literal(node)) is not None}))
    called = frozenset(n.funcname[-1].sval for n in nodes if isinstance(n, ast.FuncCall))
    return parts, literals, called, any(isinstance(node, ast.RangeVar) for node in nodes)


def _parts(reference: ast.ColumnRef) -> tuple[str, ...]:
    return tuple(getattr(field, "sval", "*") for field in reference.fields or ())


def _literal(node: Any) -> str | None:
    """The text of a string or an integer."""
    if not isinstance(node, ast.A_Const) or node.isnull:
        return None
    if isinstance(node.val, ast.Integer):
        return str(node.val.ival or 0)
    return node.val.sval if isinstance(node.val, ast.String) else None


def _values(
    type: str, tenant_type: str, literals: Sequence[str], tenants: Tenants
) -> list[str | None]:
    """Values of a column that could make a difference to an expression; a literal that is none of
    the type is an error of its row alone."""
    return [None, *dict.fromkeys(_known(type, tenant_type, literals, tenants))]


def _known(type: str, tenant_type: str, literals: Sequence[str], tenants: Tenants) -> Iterator[str]:
    if type == "boolean":
        yield from ("true", "false")
        return
    if type == tenant_type and not tenants.session_a:
        yield from (tenants.a, tenants.b)  # a session's identity would be the row's owner
    yield from literals
    yield from _SAMPLES.get(re.sub(r"\(.*?\)", "", type), ())
