"""Queries in the text of a function in PL/pgSQL, and other words for pieces of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Set
from typing import Any, NamedTuple

from pglast import Error, parser

from harness.catalog.parsing import parse_sql

_SELECT, _PERFORM = "SELECT ", "PERFORM"
_ASSIGNED = re.compile(r"[^=]*?:?=")
_MISSED = re.compile(r'"(?P<name>[\w.]+)" is not a (?P<missed>known|scalar) variable')
_STATEMENT, _EXPRESSION = 0, 2
_ROWS = frozenset({"new", "old"})


class Piece(NamedTuple):
    """What is to stand for a piece of a query."""

    start: int
    end: int
    text: str


Change = Callable[[Any, str, Set[str]], Iterable[Piece]]
"""What is to be changed in a query, given its tree, its text and the variables it may name."""


def rewritten(text: str, change: Change) -> str:
    """CREATE FUNCTION in PL/pgSQL with its queries changed."""
    function = _read(text)
    variables = _ROWS | set(_told(function, "refname"))
    for expression in _told(function, "PLpgSQL_expr"):
        query, mode = expression["query"], expression.get("parseMode", _STATEMENT)
        place = _place(text, query)
        if place is not None:
            text = with_pieces(text, _pieces(query, mode, change, variables), place)
    return text


def trees(text: str) -> Iterator[Any]:
    """The queries of CREATE FUNCTION in PL/pgSQL, but for what cannot be read."""
    for expression in _told(_read(text), "PLpgSQL_expr"):
        found = _parsed(expression["query"], expression.get("parseMode", _STATEMENT))
        if found is not None:
            yield found[0]


def with_pieces(text: str, pieces: Iterable[Piece], place: int = 0) -> str:
    """The text with other words for pieces of what begins at a place."""
    for start, end, said in sorted(pieces, reverse=True):
        text = text[: place + start] + said + text[place + end :]
    return text


def _read(text: str) -> Any:
    """What the parser tells of a function; nothing where it cannot read it.

    It knows no types of the database and takes a variable of one for what has no fields, or for
    what has nothing else: it is told better then.
    """
    while True:
        try:
            return json.loads(parser.parse_plpgsql_json(text))
        except Error as error:
            before, text = text, _with_type(text, str(error))
            if text == before:
                return {}


def _with_type(text: str, complaint: str) -> str:
    """A function with the type that the parser misses; its own where that is not told."""
    found = _MISSED.search(complaint)
    if found is None:
        return text
    name = found["name"].partition(".")[0]
    kind = "record" if found["missed"] == "known" else "text"
    told = re.sub(rf"\b{name}(\s+CONSTANT)?\s+[a-z_]\w*\.\w+", rf"{name}\1 {kind}", text, count=1)
    if told != text:
        return told
    # A parameter by the name of its function: any variable does to read the rest.
    return re.sub(rf"\b{re.escape(found['name'])}(?=\s*:?=)", "found", text)


def _told(node: Any, name: str) -> Iterator[Any]:
    """All that the parser tells by a name."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if key == name:
            yield value
        elif isinstance(value, dict | list):
            yield from _told(value, name)


def _place(text: str, query: str) -> int | None:
    """Where in a function a query begins that the parser tells.

    It tells blanks for INTO and its variables, and SELECT for PERFORM, which is longer by one.
    """
    for found in re.finditer(re.escape(query[:6]), text):
        if _reads_as(text[found.start() :], query):
            return found.start()
    for found in re.finditer(_PERFORM, text) if query.startswith(_SELECT) else ():
        if _reads_as(text[found.end() :], query[6:]):
            return found.end() - 6
    return None


def _reads_as(text: str, query: str) -> bool:
    return len(text) >= len(query) and all(
        told in (" ", there) for told, there in zip(query, text, strict=False)
    )


def _pieces(query: str, mode: int, change: Change, variables: Set[str]) -> Iterator[Piece]:
    found = _parsed(query, mode)
    if found is None:
        return
    tree, read, moved = found
    for start, end, said in change(tree, read, variables):
        yield Piece(start + moved, end + moved, said)


def _parsed(query: str, mode: int) -> tuple[Any, str, int] | None:
    """The tree of what the parser tells, its text, and by how much that stands further on."""
    assigned = _ASSIGNED.match(query) if mode > _EXPRESSION else None
    skipped = assigned.end() if assigned else 0
    prefix = "" if mode == _STATEMENT else _SELECT
    read = prefix + query[skipped:]
    try:
        return parse_sql(read)[0].stmt, read, skipped - len(prefix)
    except Error:
        return None
