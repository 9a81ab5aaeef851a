"""Whether an expression can be evaluated here, or by PostgreSQL alone."""

from __future__ import annotations

from typing import Any

from pglast import ast

from datagen.expression.evaluate import NOW
from datagen.expression.functions import FUNCTIONS
from harness.catalog.files.expressions import walk


def is_supported(node: Any) -> bool:
    """Whether all that stands below a node can be evaluated, given operands that fit."""
    called = (part.funcname[-1].sval for part in walk(node) if isinstance(part, ast.FuncCall))
    return all(name in FUNCTIONS or name in NOW for name in called)
