"""Parameter values that are new for every call: `values: key = uuid()` in a query's header.

An expression is one call with literal arguments. It is read once, into a function that
gives the value as the text that PostgreSQL reads.
"""

from __future__ import annotations

import ast
import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from harness.errors import UsageError

Make = Callable[[], str]


def compile_value(expression: str) -> Make:
    """The function that an expression describes; UsageError where there is no such function."""
    try:
        call = ast.parse(expression, mode="eval").body
        assert isinstance(call, ast.Call) and isinstance(call.func, ast.Name)  # noqa: S101, PT018
        arguments = [ast.literal_eval(argument) for argument in call.args]
        return _FUNCTIONS[call.func.id](*arguments)
    except (SyntaxError, AssertionError, ValueError, KeyError, TypeError):
        known = "uuid(), random_int(low, high), now(), text('prefix'), choice('a', 'b')"
        raise UsageError(f"values: cannot understand {expression!r}; known are {known}") from None


def _uuid() -> Make:
    return lambda: str(uuid.uuid4())


def _random_int(low: int, high: int) -> Make:
    return lambda: str(random.randint(low, high))


def _now() -> Make:
    return lambda: datetime.now(UTC).isoformat()


def _text(prefix: str = "") -> Make:
    return lambda: prefix + uuid.uuid4().hex


def _choice(*options: Any) -> Make:
    return lambda: str(random.choice(options))


_FUNCTIONS: dict[str, Callable[..., Make]] = {
    "uuid": _uuid,
    "random_int": _random_int,
    "now": _now,
    "text": _text,
    "choice": _choice,
}
