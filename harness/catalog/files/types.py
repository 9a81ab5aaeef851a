"""Types, spelled as format_type spells them."""

from __future__ import annotations

import re
from typing import Any

from harness.catalog.files import names
from harness.catalog.model import Name

_INTERNAL = {
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float4": "real",
    "float8": "double precision",
    "bool": "boolean",
    "varchar": "character varying",
    "bpchar": "character",
    "char": '"char"',
    "varbit": "bit varying",
    "decimal": "numeric",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "time": "time without time zone",
    "timetz": "time with time zone",
}


_PLAIN = re.compile("[a-z_][a-z0-9_]*")
_UNNAMED = ("pg_catalog", "public")
"""Schemas that format_type leaves out, for they are on the search path."""


def spell(node: Any) -> str:
    """`numeric(14,2)`, `timestamp(3) with time zone`, `text[]`, `system_core.email`."""
    parts = [part.sval for part in node.names]
    if parts[0] in _UNNAMED and len(parts) > 1:
        parts = parts[1:]
    name = _INTERNAL.get(parts[0], _plain(parts[0])) if len(parts) == 1 else _qualified(parts)
    if node.pct_type:
        name += "%TYPE"
    modifiers = _modifiers(node)
    if modifiers:
        first, space, rest = name.partition(" ")
        timed = first in ("timestamp", "time")
        name = f"{first}({modifiers}){space}{rest}" if timed else f"{name}({modifiers})"
    return name + "[]" * bool(node.arrayBounds)


def spell_bare(node: Any) -> str:
    """A type without length or precision, which functions do not keep."""
    return re.sub(r"\(\d+(?:,\d+)?\)", "", spell(node))


def spell_name(name: Name) -> str:
    """A type of a schema, as a column of it is spelled."""
    return _plain(name.name) if name.schema == "public" else _qualified([*name])


def _plain(name: str) -> str:
    """A name of one part; PostgreSQL's own types are spelled like keywords and stay as they are."""
    return name if _PLAIN.fullmatch(name) else names.quoted(name)


def _qualified(parts: list[str]) -> str:
    return ".".join(map(names.quoted, parts))


def _modifiers(node: Any) -> str:
    if node.names[-1].sval == "interval":
        return ""
    constants = [modifier.val for modifier in node.typmods or () if hasattr(modifier, "val")]
    return ",".join(str(constant.ival) for constant in constants if hasattr(constant, "ival"))
