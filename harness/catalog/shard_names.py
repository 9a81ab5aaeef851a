"""Statements that name shards where they named tables, and have the queries of views in place of
these: to a node of a cluster, plain statements of its own tables.

Read as text, for the body of a function is one. A shard stands where a table would, after FROM,
JOIN and their like; columns are named by the table still.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from psycopg import sql

from harness.catalog.model import Name

_UNTOUCHED = r"--[^\n]*|/\*.*?\*/"
_TEXT = r"'(?:[^']|'')*'"
_TABLE = (
    r"(?P<before>\b(?:FROM|JOIN|UPDATE|USING|ONLY)[\s(]+|,\s*|\b(?P<into>INTO)\s+)"
    r'(?P<schema>"[^"]+"|[a-z_]\w*)\s*\.\s*(?P<name>"[^"]+"|[a-z_]\w*)(?![\w"%]|\s*\.)'
    r"(?=(?P<alias>\s+AS\b|\s+(?!(?:{}|INNER|LEFT|RIGHT|FULL|CROSS|NATURAL|ON|SET|WHERE|GROUP|ORDER"
    r"|HAVING|WINDOW|LIMIT|OFFSET|FETCH|FOR|UNION|EXCEPT|INTERSECT|RETURNING|SELECT|VALUES"
    r"|DEFAULT|OVERRIDING|LOOP|THEN)\b)[a-z_]\w*)?)"
    r"(?=(?P<call>\s*\()?)"
).format("JOIN|USING|TABLESAMPLE|INTO")


@dataclass(frozen=True, slots=True)
class Spread:
    """A table as its shards, in the order of their hashes."""

    names: tuple[str, ...]
    ids: tuple[int, ...] = ()
    shared: bool = False
    """Whether the one shard that there is is on every node."""


class Named(NamedTuple):
    """What stands for tables and views."""

    tables: Mapping[Name, Spread]
    views: Mapping[Name, str]


def on_shards(body: str, place: int, named: Named) -> str:
    """A text whose statements name the shards of an interval; that of a text to be executed too."""
    dynamic = re.search(r"\bEXECUTE\b", body, re.IGNORECASE)
    left = _UNTOUCHED if dynamic else f"{_UNTOUCHED}|{_TEXT}"
    found = re.compile(f"{left}|{_TABLE}", re.IGNORECASE | re.DOTALL)
    return found.sub(lambda match: _there(match, place, named), body)


def _there(found: re.Match[str], place: int, named: Named) -> str:
    """What stands for a table, a view or whatever else there is."""
    if not found["name"] or (found["call"] and not found["into"]):
        return found[0]
    name = Name(found["schema"].strip('"'), found["name"].strip('"'))
    there = _shard(name, place, named)
    if there is None:
        return found[0]
    alias = sql.SQL(" AS {}").format(sql.Identifier(name.name)).as_string(None)
    return f"{found['before']}{there}{'' if found['alias'] else alias}"


def _shard(name: Name, place: int, named: Named) -> str | None:
    if spread := named.tables.get(name):
        shard = spread.names[0 if spread.shared else place]
        return Name(name.schema, shard).identifier.as_string(None)
    if query := named.views.get(name):
        return f"({on_shards(query.rstrip('; '), place, named)})"
    return None
