"""SQL expressions evaluated column by column, with SQL's three-valued logic.

CHECK constraints are evaluated to see which rows would be refused, recipes to compute columns;
both are written in SQL and read by PostgreSQL's own parser.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from pglast import Error

from datagen.expression.evaluate import Scope, columns_of, evaluate
from datagen.expression.unknown import UnknownExpression
from datagen.values import Values
from harness.catalog.parsing import parse_sql

__all__ = ["Expression", "Scope", "UnknownExpression", "compile_expression"]


@dataclass(frozen=True, eq=False)
class Expression:
    """A parsed expression."""

    text: str
    node: Any
    columns: frozenset[str]
    """Columns that it mentions; `fk.column` for a column of a parent row."""

    def evaluate(self, lookup: Callable[[str], Values], rows: int) -> Values:
        """Its values for so many rows; raises UnknownExpression for what is not supported."""
        return evaluate(self.node, Scope(lookup, rows))


@cache
def compile_expression(text: str) -> Expression:
    """Parses an expression; UnknownExpression where it is none."""
    try:
        (statement,) = parse_sql(f"SELECT {text}")
        (target,) = statement.stmt.targetList
    except (Error, ValueError) as error:
        raise UnknownExpression(f"cannot be parsed: {error}") from None
    return Expression(text, target.val, frozenset(columns_of(target.val)))
