"""PostgreSQL's patterns as Python's regular expressions: LIKE, SIMILAR TO and POSIX."""

from __future__ import annotations

import re
from functools import cache

from datagen.expression.unknown import UnknownExpression

_CLASSES = {
    "alpha": "a-zA-Z",
    "digit": "0-9",
    "alnum": "a-zA-Z0-9",
    "space": r"\s",
    "upper": "A-Z",
    "lower": "a-z",
    "punct": r"!-/:-@\[-`{-~",
    "xdigit": "0-9a-fA-F",
    "blank": r" \t",
}
_ESCAPES = {"m": r"\b(?=\w)", "M": r"\b(?<=\w)", "y": r"\b", "Y": r"\B"}
_PART = re.compile(r"\\(?s:.)|\[\^?\]?(?:\[:\w+:\]|\\(?s:.)|[^\]\\])*\]|(?s:.)")


@cache
def posix(pattern: str, ignore_case: bool = False) -> re.Pattern[str]:
    """An advanced regular expression; what is alike in both is passed on."""
    flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
    if pattern.startswith("***") or re.match(r"\(\?(?!i\))[a-z]+\)", pattern):
        raise UnknownExpression(f"regular expression {pattern} is not supported")
    return _compiled("".join(_translated(part) for part in _PART.findall(pattern)), flags)


@cache
def like(pattern: str, ignore_case: bool = False) -> re.Pattern[str]:
    """A LIKE pattern, as an expression that a search finds in the whole text only."""
    parts = (_like_part(part) for part in re.findall(r"\\.|.", pattern, re.DOTALL))
    flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
    return _compiled(r"\A" + "".join(parts) + r"\Z", flags)


def similar(pattern: str, escape: str = "\\") -> str:
    """A SIMILAR TO pattern as a POSIX one, as similar_to_escape() makes it."""
    parts = re.findall(re.escape(escape) + r".|\[[^\]]*\]|.", pattern, re.DOTALL)
    return "^(?:" + "".join(_SIMILAR.get(part, part) for part in parts) + ")$"


_SIMILAR = {"%": ".*", "_": ".", ".": r"\.", "^": r"\^", "$": r"\$"}


def _translated(part: str) -> str:
    if part == "$":
        return r"\Z"
    if part.startswith("\\"):
        return _ESCAPES.get(part[1], part)
    return _bracket(part) if len(part) > 1 else part


def _bracket(part: str) -> str:
    """A bracket expression; an inner `[` is escaped, for Python warns of nested sets."""
    inside = re.sub(r"\[:(\w+):\]", _class, part[1:-1])
    return "[" + re.sub(r"(?<!\\)\[", r"\\[", inside) + "]"


def _class(match: re.Match[str]) -> str:
    if match[1] not in _CLASSES:
        raise UnknownExpression(f"character class {match[1]} is not known")
    return _CLASSES[match[1]]


def _like_part(part: str) -> str:
    return {"%": ".*", "_": "."}.get(part) or re.escape(part[-1])


def _compiled(pattern: str, flags: int) -> re.Pattern[str]:
    try:
        return re.compile(pattern, flags)
    except re.error as error:
        raise UnknownExpression(f"regular expression {pattern}: {error}") from None
