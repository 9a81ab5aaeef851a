"""What the text of a function says; comments in it do not count, strings do."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.catalog.files import Source
from harness.catalog.model import Function
from harness.finding import Location

_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)


def mentions(source: Source, pattern: str) -> Iterator[tuple[Function, Location]]:
    """Functions whose definition matches, and the line where it does."""
    expression = re.compile(pattern, re.IGNORECASE)
    for function in source.catalog.functions:
        text = source.definitions.get(function.signature, "")
        if not expression.search(text) or function.location is None:
            continue
        for match in expression.finditer(_COMMENT.sub(_blank, text)):
            line = function.location.line + text.count("\n", 0, match.start())
            yield function, Location(function.location.file, line)


def _blank(comment: re.Match[str]) -> str:
    """As many characters and lines, so that offsets stay."""
    return re.sub(r"[^\n]", " ", comment.group())
