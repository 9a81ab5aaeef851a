"""Texts that match a regular expression, made by walking its parsed form.

Only what a text consists of is made; what is around it (anchors, assertions) is for whoever
compares the text with the pattern.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from datagen.expression.patterns import posix

_MORE = 6
"""Repetitions beyond the least number, where a pattern allows any number."""
_PLAIN = string.ascii_lowercase + string.digits
_VISIBLE = string.ascii_letters + string.digits + "-_.@/ "
_CATEGORIES = {
    "CATEGORY_DIGIT": string.digits,
    "CATEGORY_WORD": _PLAIN,
    "CATEGORY_SPACE": " ",
    "CATEGORY_NOT_DIGIT": string.ascii_lowercase,
    "CATEGORY_NOT_WORD": "-",
    "CATEGORY_NOT_SPACE": _PLAIN,
}


def sample(pattern: str, random: Random) -> str:
    """A text that matches; UnknownExpression where the pattern is not understood."""
    parsed = re._parser.parse(posix(pattern).pattern)  # type: ignore[attr-defined]
    return _sequence(parsed, random, {})


def _sequence(parts: Any, random: Random, groups: dict[int, str]) -> str:
    return "".join(_part(str(kind), given, random, groups) for kind, given in parts)


def _part(kind: str, given: Any, random: Random, groups: dict[int, str]) -> str:
    maker = _MAKERS.get(kind)
    return maker(given, random, groups) if maker else ""


def _branch(given: Any, random: Random, groups: dict[int, str]) -> str:
    return _sequence(random.choice(given[1]), random, groups)


def _repeat(given: Any, random: Random, groups: dict[int, str]) -> str:
    least, most, parts = given
    times = random.randint(int(least), min(int(most), max(int(least), 1) + _MORE))
    return "".join(_sequence(parts, random, groups) for _ in range(times))


def _group(given: Any, random: Random, groups: dict[int, str]) -> str:
    number, _, _, parts = given
    made = _sequence(parts, random, groups)
    if number is not None:
        groups[number] = made
    return made


def _one_of(given: Any, random: Random, _: dict[int, str]) -> str:
    negated = str(given[0][0]) == "NEGATE"
    listed = [c for kind, value in given for c in _characters(str(kind), value)]
    if negated:
        listed = [c for c in _PLAIN if c not in listed] or [c for c in _VISIBLE if c not in listed]
    plain = [c for c in listed if c in _PLAIN] if random.random() < 0.8 else []
    return random.choice(plain or listed)


def _characters(kind: str, value: Any) -> Sequence[str]:
    if kind == "RANGE":
        low, high = value
        return [chr(code) for code in range(low, min(high, low + 200) + 1)]
    if kind == "LITERAL":
        return chr(value)
    return _CATEGORIES.get(str(value), "") if kind == "CATEGORY" else ""


def _other(given: Any, random: Random, _: dict[int, str]) -> str:
    return random.choice([c for c in _PLAIN if ord(c) != given])


_MAKERS: dict[str, Callable[[Any, Random, dict[int, str]], str]] = {
    "LITERAL": lambda given, _, __: chr(given),
    "NOT_LITERAL": _other,
    "ANY": lambda _, random, __: random.choice(_PLAIN),
    "IN": _one_of,
    "BRANCH": _branch,
    "SUBPATTERN": _group,
    "ATOMIC_GROUP": lambda given, random, groups: _sequence(given, random, groups),
    "MAX_REPEAT": _repeat,
    "MIN_REPEAT": _repeat,
    "POSSESSIVE_REPEAT": _repeat,
    "GROUPREF": lambda given, _, groups: groups.get(given, ""),
}
