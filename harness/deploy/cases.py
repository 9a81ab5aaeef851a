"""CASE of a variable in an UPDATE, as Citus can take it.

Citus puts the values of variables into an UPDATE before it sends it, and then prints a CASE that
compares one as a comparison with true or false. A CASE of conditions says the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from typing import Any

from pglast import ast
from pglast.visitors import Visitor

from harness.deploy.queries import Piece, rewritten

_UPDATE = re.compile(r"\bUPDATE\b", re.IGNORECASE)
_CASE = re.compile(r"\bCASE\s+\w", re.IGNORECASE)
_NAME = re.compile(r'(?:"[^"]+"|\w+)(?:\s*\.\s*(?:"[^"]+"|\w+))?')
_WHEN = len("WHEN")


def of_conditions(text: str) -> str:
    """CREATE FUNCTION in PL/pgSQL in whose UPDATEs no CASE compares a variable."""
    return rewritten(text, _conditions) if _UPDATE.search(text) and _CASE.search(text) else text


def _conditions(tree: Any, query: str, variables: Set[str]) -> Iterator[Piece]:
    if _UPDATE.search(query):
        cases = _Cases(variables)
        cases(tree)
        for case in cases.found:
            yield from _apart(case, query)


def _apart(case: Any, query: str) -> Iterator[Piece]:
    named = _NAME.match(query, case.arg.location)
    assert named  # noqa: S101 - the parser found it there
    yield Piece(named.start(), named.end(), "")
    for branch in case.args:
        place = branch.location + _WHEN
        yield Piece(place, place, f" {named[0]} =")


class _Cases(Visitor):
    """Each CASE that compares a variable with values that stand there."""

    def __init__(self, variables: Set[str]) -> None:
        self.variables = variables
        self.found: list[Any] = []

    def visit_CaseExpr(self, _: Any, node: Any) -> None:
        compares = isinstance(node.arg, ast.ColumnRef)
        if (
            compares
            and str(getattr(node.arg.fields[0], "sval", "")) in self.variables
            and all(isinstance(branch.expr, ast.A_Const) for branch in node.args)
        ):
            self.found.append(node)
