"""CASE x WHEN a as CASE WHEN x = a, which a cluster needs in whatever changes rows.

Citus evaluates what it can of a statement before it sends it to a shard, and takes `a` for the
comparison that it stands for: the shard is asked whether a text is a boolean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pglast import parser

_OPENING, _CLOSING = "ASCII_40", "ASCII_41"
_COMMENTS = {"SQL_COMMENT", "C_COMMENT"}
_BLOCKS = {"IF_P", "LOOP", "CASE"}
"""What END closes in PL/pgSQL beside a block and an expression."""


class _Edit(NamedTuple):
    start: int
    end: int
    text: str


@dataclass
class _Case:
    """A CASE that is not at its end yet: tokens of its WHEN and THEN, by their places."""

    at: int
    depth: int
    whens: list[int] = field(default_factory=list)
    thens: list[int] = field(default_factory=list)


def searched(body: str) -> str:
    """The body of a function, of SQL or PL/pgSQL, in which every CASE searches; as it is where
    it cannot be read."""
    try:
        tokens = [token for token in parser.scan(body) if token.name not in _COMMENTS]
    except parser.ParseError:
        return body
    text = body
    for edit in sorted(_edits(body, tokens), reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def _edits(body: str, tokens: Sequence[Any]) -> Iterator[_Edit]:
    depth, opened = 0, list[_Case]()
    for at, token in enumerate(tokens):
        name = token.name
        before = tokens[at - 1].name if at else ""
        after = tokens[at + 1].name if at + 1 < len(tokens) else ""
        depth += (name == _OPENING) - (name == _CLOSING)
        if name == "CASE" and before != "END_P":
            opened.append(_Case(at, depth))
        if not opened or opened[-1].depth != depth:
            continue
        if name == "WHEN":
            opened[-1].whens.append(at)
        elif name == "THEN" and len(opened[-1].thens) < len(opened[-1].whens):
            opened[-1].thens.append(at)
        elif name == "END_P" and (after not in _BLOCKS or after == "CASE"):
            case = opened.pop()
            if after != "CASE":
                yield from _of(case, body, tokens)


def _of(case: _Case, body: str, tokens: Sequence[Any]) -> Iterator[_Edit]:
    """Those of one expression; none where it searches already, or asks a query what to compare."""
    argument = tokens[case.at + 1 : case.whens[0]] if case.whens else ()
    if not argument or any(token.name in ("SELECT", "CASE") for token in argument):
        return
    start, end = argument[0].start, argument[-1].end + 1
    yield _Edit(start, tokens[case.whens[0]].start, "")
    for when, then in zip(case.whens, case.thens, strict=True):
        first, last = tokens[when + 1], tokens[then - 1]
        yield _Edit(first.start, first.start, f"{body[start:end]} = (")
        yield _Edit(last.end + 1, last.end + 1, ")")
