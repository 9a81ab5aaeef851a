"""What the text of a function says; comments in it do not count, strings do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from harness.catalog.model import Function
from harness.catalog.source import Source
from harness.finding import Location

_CALLED = re.compile(r"(\w+)\s*\(")
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)


def saying(source: Source, word: str) -> list[Function]:
    """The functions with a word in their text, in any case: those in which `mentions` is to look,
    at a small part of what a pattern costs that begins anywhere."""
    word = word.lower()
    return [
        function
        for function in source.catalog.functions
        if word in source.definitions.get(function.signature, "").lower()
    ]


def mentions(
    source: Source, pattern: str, functions: Iterable[Function] | None = None
) -> Iterator[tuple[Function, Location | None]]:
    """Functions, of all or of some, whose definition matches, and the line where it does."""
    expression = re.compile(pattern, re.IGNORECASE)
    for function in source.catalog.functions if functions is None else functions:
        text = source.definitions.get(function.signature, "")
        if expression.search(text):
            for match in expression.finditer(without_comments(text)):
                yield function, _below(function.location, text.count("\n", 0, match.start()))


def without_comments(text: str) -> str:
    """As many characters and lines, so that offsets stay."""
    return _COMMENT.sub(_blank, text)


def reaching(source: Source, pattern: str, names: Iterable[str]) -> frozenset[str]:
    """Of the functions with these bare names those whose text matches, or that call one whose text
    does, however deep."""
    expression = re.compile(pattern, re.IGNORECASE)
    texts: dict[str, list[str]] = {}
    for function in source.catalog.functions:
        text = source.definitions.get(function.signature, "")
        texts.setdefault(function.name.name, []).append(text)
    known: dict[str, bool] = {}

    def reaches(name: str) -> bool:
        if name not in known:
            known[name] = False  # whatever calls itself
            body = _COMMENT.sub(" ", " ".join(texts.get(name, ())))
            called = set(_CALLED.findall(body)) & texts.keys()
            known[name] = bool(expression.search(body)) or any(map(reaches, called))
        return known[name]

    return frozenset(filter(reaches, names))


def _below(start: Location | None, lines: int) -> Location | None:
    return Location(start.file, start.line + lines) if start else None


def _blank(comment: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", comment.group())
