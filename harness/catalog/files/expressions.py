"""Expressions as values: two texts mean the same when they parse to the same tree."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
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
    """A node and all nodes below it, in the order in which they stand, but for the parts of names,
    which are almost half of them: a reference, a call, an operator and a type hold their own."""
    pending = [node]
    while pending:
        current = pending.pop()
        kind = type(current)
        if kind is tuple:
            pending += current[::-1]
        elif (slots := _SLOTS_WITH_NODES[kind]) is not None:
            yield current
            for slot in slots:
                if (below := getattr(current, slot)) is not None:
                    pending.append(below)


class _SlotsWithNodes(dict[type, tuple[str, ...] | None]):
    """The slots of a kind of node that hold nodes, last first: most hold numbers and strings.
    None for what is no node. A dictionary, for it is asked for every node of every file."""

    def __missing__(self, kind: Any) -> tuple[str, ...] | None:
        if not issubclass(kind, ast.Node):
            return self.setdefault(kind, None)
        types = {name: slot.c_type for name, slot in reversed(kind.__slots__.items())}
        held = [name for name, type in types.items() if type.endswith("*") and type != "char*"]
        parts = _PARTS_OF_NAMES.get(kind)
        return self.setdefault(kind, tuple(name for name in held if name != parts))


_PARTS_OF_NAMES: dict[type, str] = {
    ast.ColumnRef: "fields",
    ast.FuncCall: "funcname",
    ast.A_Expr: "name",
    ast.TypeName: "names",
}
_SLOTS_WITH_NODES = _SlotsWithNodes()
