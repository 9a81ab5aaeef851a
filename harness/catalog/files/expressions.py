"""Expressions as values: two texts mean the same when they parse to the same tree."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any

from pglast import ast
from pglast.parser import ParseError
from pglast.stream import RawStream

from harness.catalog.parsing import parse_sql


def deparse(node: Any) -> str:
    """The text of a parsed expression, always in the same spelling."""
    return str(RawStream()(node))  # type: ignore[no-untyped-call]


@lru_cache(maxsize=4096)
def parse(text: str) -> Any:
    """The tree of an expression; None where the text is none."""
    try:
        statements = parse_sql(f"SELECT ({text}\n)")
    except ParseError:
        return None
    if len(statements) != 1 or len(statements[0].stmt.targetList) != 1:
        return None
    return statements[0].stmt.targetList[0].val


@lru_cache(maxsize=4096)
def canonical(text: str) -> str:
    """One spelling for all texts of the same tree, whatever their spaces, case and brackets."""
    node = parse(text)
    return text if node is None else deparse(node)


def text_of(node: Any, sliced: str) -> str:
    """The sliced text where it really is the text of the node, else the node deparsed."""
    return sliced if parse(sliced) == node else deparse(node)


def walk(node: Any) -> Iterator[Any]:
    """A node and all nodes below it, in the order in which they stand."""
    pending = [node]
    while pending:
        current = pending.pop()
        if isinstance(current, tuple):
            pending += current[::-1]
        elif isinstance(current, ast.Node):
            yield current
            kind: Any = type(current)
            for slot in _slots_with_nodes(kind):
                if (below := getattr(current, slot)) is not None:
                    pending.append(below)


@cache
def _slots_with_nodes(kind: Any) -> tuple[str, ...]:
    """The slots of a kind of node that hold nodes, last first: most hold numbers and strings."""
    slots = [name for name, slot in kind.__slots__.items() if slot.c_type.endswith("*")]
    return tuple(name for name in reversed(slots) if kind.__slots__[name].c_type != "char*")
