"""The text of an SQL file: lines, comments, and where an expression ends.

Offsets are characters, as pglast reports them. The parser keeps no text and no end of an
expression, and its deparser costs as much as parsing, so expressions are sliced from here.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate

from harness.finding import Location

_TRIVIA = re.compile(r"(?:\s+|--[^\n]*|/\*.*?\*/)*", re.DOTALL)
_TOKEN = re.compile(
    r"""(?<!\w)[eE]'(?:[^'\\]|\\.|'')*' | '[^']*' | "[^"]*" | --[^\n]* | /\*.*?\*/
        | \$(\w*)\$.*?\$\1\$ | [()\[\],;] """,
    re.DOTALL | re.VERBOSE,
)
_DEPTH = {"(": 1, "[": 1, ")": -1, "]": -1}
_CLOSING = (")", "]", ",", ";")


@dataclass(frozen=True, slots=True)
class SqlText:
    """One SQL file: the path that reports show, and its text."""

    path: str
    text: str = field(repr=False)
    line_ends: tuple[int, ...] = field(repr=False)
    at: Location | None = None
    """Where all of it stands, for text that no file holds as such: what EXECUTE runs."""

    @classmethod
    def of(cls, path: str, text: str, at: Location | None = None) -> SqlText:
        """The text with its line ends looked up once."""
        before = accumulate(map(len, text.split("\n")[:-1]))
        return cls(path, text, tuple(line + end for line, end in enumerate(before)), at)

    def location(self, offset: int) -> Location:
        """File and line of an offset."""
        return self.at or Location(self.path, bisect_left(self.line_ends, offset) + 1)

    def skip_trivia(self, offset: int) -> int:
        """The offset of the first character that is neither white space nor comment."""
        match = _TRIVIA.match(self.text, offset)
        return match.end() if match else offset

    def comment_above(self, offset: int) -> str | None:
        """The block of `--` lines that ends on the line before an offset."""
        block: list[str] = []
        end = self.text.rfind("\n", 0, offset)
        while end > 0:
            start = self.text.rfind("\n", 0, end) + 1
            if not self.text.startswith("--", start, end):
                break
            block.append(self.text[start:end].lstrip("- "))
            end = start - 1
        return " ".join(reversed(block)) or None

    def expression(self, start: int, stop: int) -> str:
        """The text from start to the first comma, semicolon or closing bracket of its level."""
        depth = 0
        for match in _TOKEN.finditer(self.text, start, stop):
            token = match.group()
            if depth == 0 and token in _CLOSING:
                return self.text[start : match.start()].strip()
            depth += _DEPTH.get(token, 0)
        return self.text[start:stop].strip()

    def after(self, words: str, start: int, stop: int) -> int | None:
        """Where the text goes on after the first of such words that no bracket encloses."""
        depth = 0
        for match in _token_or(words).finditer(self.text, start, stop):
            if depth == 0 and match.group("words"):
                return match.end()
            depth += _DEPTH.get(match.group(), 0)
        return None


def semicolons(text: str) -> Iterator[int]:
    """Where a semicolon stands that is not part of a string, a name or a comment."""
    return (match.start() for match in _TOKEN.finditer(text) if match.group() == ";")


def comments(text: str) -> Iterator[tuple[int, str]]:
    """Where a comment of one line begins, and its text."""
    found = (match for match in _TOKEN.finditer(text) if match.group().startswith("--"))
    return ((match.start(), match.group()) for match in found)


@cache
def _token_or(words: str) -> re.Pattern[str]:
    pattern = r"\b(?P<words>" + words.replace(" ", r"\s+") + r")\b"
    return re.compile(f"{_TOKEN.pattern} | {pattern}", _TOKEN.flags | re.IGNORECASE)
