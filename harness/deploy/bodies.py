"""The body of a function in PL/pgSQL as a text: its statements, and what it declares."""

from __future__ import annotations

import re
from collections.abc import Iterator

UNTOUCHED = r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$"
"""Texts and comments: a query that is put together knows no variable."""
_PRAGMAS = re.compile(r"\A(?:\s*#\w+[^\n]*\n)*")
_ENDING = re.compile(r"(?:\s|;|--[^\n]*|/\*.*?\*/)*\Z", re.DOTALL)
_OPENING = re.compile(
    r"(?:\s|--[^\n]*|/\*.*?\*/|\#[^\n]*)*(?P<word>DECLARE|BEGIN)\b", re.IGNORECASE | re.DOTALL
)


def statements(body: str) -> Iterator[str]:
    """The body in pieces that end where a statement does."""
    begin = 0
    for found in re.finditer(f"{UNTOUCHED}|;", body, re.DOTALL):
        if found[0] == ";":
            yield body[begin : found.end()]
            begin = found.end()
    yield body[begin:]


def declaring(body: str, declaration: str) -> str | None:
    """The body with one more variable, the first; None where no block begins it."""
    opening = _OPENING.match(body)
    if opening is None:
        return None
    head, rest = body[: opening.start("word")], body[opening.end("word") :]
    begun = "" if opening["word"].upper() == "DECLARE" else "\nBEGIN"
    return f"{head}DECLARE {declaration};{begun}{rest}"


def without_texts(text: str) -> str:
    """What is neither a text nor a comment."""
    return re.sub(UNTOUCHED, "", text, flags=re.DOTALL)


def without_pragmas(body: str) -> tuple[str, str]:
    """The pragmas that a body begins with, and its block."""
    pragmas = _PRAGMAS.match(body)
    end = pragmas.end() if pragmas else 0
    return body[:end], body[end:]


def as_block(body: str) -> str:
    """A body as a statement of another one."""
    return _ENDING.sub("\n;", body, count=1)
