"""What stands in a file for text that somebody fills in later: templates, variables of psql.

Each gives way to a name of the same length, so that the statement can be read and no line moves.
"""

from __future__ import annotations

import re

from harness.catalog.files.text import SqlText
from harness.catalog.source import Problem

_TEMPLATE = re.compile(
    r"\{\{[^{}\n]*[A-Za-z][^{}\n]*\}\} | \$\{[^{}\n]+\} | <%=[^\n]*?%>", re.VERBOSE
)
_DIRECTIVE = re.compile(r"\{%.*?%\} | \{\#.*?\#\} | <%(?!=).*?%>", re.VERBOSE | re.DOTALL)
_PART = re.compile(
    rf"""(?P<comment> --[^\n]* | /\*.*?\*/ )
       | (?P<directive> {_DIRECTIVE.pattern} )
       | (?P<template> {_TEMPLATE.pattern} )
       | (?P<text> (?<!:)'[^']*' | (?<!:)"[^"]*" | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ )
       | (?P<variable> (?<![:\w\]]):(?: [A-Za-z_]\w* | '\w+' | "\w+" ) )""",
    re.DOTALL | re.VERBOSE,
)


def filled(file: SqlText) -> tuple[str, list[Problem]]:
    """The text with a name in the place of each placeholder, and a problem per line of them."""
    problems: dict[int, Problem] = {}

    def noted(written: str, offset: int, message: str) -> None:
        place = file.location(offset)
        problems.setdefault(place.line, Problem("template", written, message, place))

    def stand_in(match: re.Match[str], base: int = 0) -> str:
        name = re.sub(r"\W", "_", match.group())
        message = f"{match.group()} is filled in later; {name.lower()} is read in its place"
        noted(match.group(), base + match.start(), message)
        return name

    def replaced(match: re.Match[str]) -> str:
        written = match.group()
        if match["comment"]:
            return written
        if match["directive"]:
            noted(written, match.start(), f"{written} decides later what is there; all is read")
            return re.sub(r"[^\n]", " ", written)
        if match["text"]:
            return _TEMPLATE.sub(lambda inner: stand_in(inner, match.start()), written)
        if match["variable"] and written[1] in "'\"":
            noted(written, match.start(), f"{written} is filled in by psql")
            return f" {written[1:]}"
        return stand_in(match)

    text = _PART.sub(replaced, file.text)
    return text, list(problems.values())
