"""Whether an expression can be evaluated here, or by PostgreSQL alone."""

from __future__ import annotations

from typing import Any

from pglast import ast

from datagen.expression.evaluate import NOW
from datagen.expression.functions import FUNCTIONS


def is_supported(node: Any) -> bool:
    """Whether all that stands below a node can be evaluated, given operands that fit."""
    if isinstance(node, tuple | list):
        return all(map(is_supported, node))
    if not isinstance(node, ast.Node):
        return True
    if isinstance(node, ast.FuncCall):
        name = node.funcname[-1].sval
        if name not in FUNCTIONS and name not in NOW:
            return False
    return all(is_supported(getattr(node, name)) for name in node.__slots__)
