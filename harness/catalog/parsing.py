"""PostgreSQL's parser, without pglast's second look at what it gives.

pglast checks and converts every attribute of every node that it makes, which is meant for nodes
that people make and takes five sixths of the time of parsing. What its own C code passes has the
right type already, except the value of a Boolean, which is a number. Seen with pglast 7.22: the
same nodes for the whole reference schema; tests/unit/catalog/test_parsing.py compares them.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

import pglast
from pglast import ast

_ASSIGN = "__setattr__"
_alone = RLock()


def parse_sql(text: str) -> tuple[Any, ...]:
    """The statements of a text as pglast.ast.RawStmt; raises pglast.parser.ParseError."""
    with unvalidated():
        statements: tuple[Any, ...] = pglast.parse_sql(text)
    return statements


@contextmanager
def uncollected() -> Iterator[None]:
    """Millions of nodes are made of which few are kept and none lie in a cycle: to search them for
    garbage again and again takes a quarter of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextmanager
def unvalidated() -> Iterator[None]:
    """Around many short texts it halves the time: a change of a class costs as much as they do."""
    with _alone:
        if _ASSIGN not in vars(ast.Node):
            yield
            return
        validate = getattr(ast.Node, _ASSIGN)
        setattr(ast.Boolean, _ASSIGN, validate)
        delattr(ast.Node, _ASSIGN)
        try:
            yield
        finally:
            setattr(ast.Node, _ASSIGN, validate)
            delattr(ast.Boolean, _ASSIGN)
