"""What the text of a function says; comments in it do not count, strings do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from harness.catalog.model import Function
from harness.catalog.source import Source
from harness.finding import Location

_CALLED = re.compile(r"(\w+)\s*\(")
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)


def mentions(
    source: Source, pattern: str, functions: Iterable[Function] | None = None
) -> Iterator[tuple[Function, Location | None]]:
    """Functions, of all or of some, whose definition matches, and the line where it does."""
    expression = re.compile(pattern, re.IGNORECASE)
    for function in source.catalog.functions if functions is None else functions:
        text = source.definitions.get(function.signature, "")
        if expression.search(text):
            for match in expression.finditer(_COMMENT.sub(_blank, text)):
                yield function, _below(function.location, text.count("\n", 0, match.start()))


def callers(source: Source, pattern: str) -> frozenset[str]:
    """The bare names of functions whose text matches, or that call one of those, in turn."""
    expression = re.compile(pattern, re.IGNORECASE)
    found: set[str] = set()
    calls: dict[str, set[str]] = {}
    for function in source.catalog.functions:
        name, text = function.name.name, source.definitions.get(function.signature, "")
        text = _COMMENT.sub(" ", text)
        calls.setdefault(name, set()).update(_CALLED.findall(text))
        if expression.search(text):
            found.add(name)
    while further := {n for n, called in calls.items() if n not in found and called & found}:
        found |= further
    return frozenset(found)


def _below(start: Location | None, lines: int) -> Location | None:
    return Location(start.file, start.line + lines) if start else None


def _blank(comment: re.Match[str]) -> str:
    """As many characters and lines, so that offsets stay."""
    return re.sub(r"[^\n]", " ", comment.group())
