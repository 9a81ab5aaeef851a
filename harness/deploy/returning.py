"""INSERT … SELECT of functions as a cluster can have it under row security.

What Citus cannot leave to the shards, because a default is volatile as most keys are, it selects
itself and copies; PostgreSQL refuses to copy where row security is on. A statement that returns
what it inserted is no copy: Citus keeps the rows in a file and inserts from that. In PL/pgSQL such
a statement needs somebody who takes the rows: a loop that does nothing.
"""

from __future__ import annotations

import re

from harness.deploy.bodies import UNTOUCHED, declaring, statements

_VARIABLE = "harness_put"
_INSERT = re.compile(
    r"(?P<before>(?:^|\b(?:BEGIN|THEN|ELSE|LOOP)\b)(?:\s|--[^\n]*|/\*.*?\*/)*)"
    r"(?P<insert>INSERT\s+INTO\s+[^;]*?\bSELECT\b[^;]*);\s*$",
    re.IGNORECASE | re.DOTALL,
)
_VALUES = re.compile(r"INSERT\s+INTO\s+[\w.\"]+(?:\s+AS\s+\w+)?\s*(?:\([^()]*\))?\s*VALUES\b", re.I)
_ANSWERS = re.compile(r"\bRETURNING\b|\bON\s+CONFLICT\b", re.IGNORECASE)
_COUNTS = re.compile(r"\s*GET\s+DIAGNOSTICS\b", re.IGNORECASE)


def returning(body: str) -> str:
    """The body of a function in PL/pgSQL, in which a loop takes what such a statement returns."""
    pieces = list(statements(body))
    following = [*pieces[1:], ""]
    told = [_looped(piece, after) for piece, after in zip(pieces, following, strict=True)]
    if told == pieces:
        return body
    return declaring("".join(told), f"{_VARIABLE} boolean") or body


def _looped(statement: str, after: str) -> str:
    found = _INSERT.search(statement)
    if not found or _COUNTS.match(after):
        return statement
    insert = found["insert"]
    bare = re.sub(UNTOUCHED, "", insert, flags=re.DOTALL)
    if _VALUES.match(bare) or _ANSWERS.search(bare):
        return statement
    begin = statement[: found.start("insert")]
    return f"{begin}FOR {_VARIABLE} IN {insert} RETURNING true LOOP NULL; END LOOP;"
