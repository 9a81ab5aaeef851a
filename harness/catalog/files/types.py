"""Types, spelled as format_type spells them."""

from __future__ import annotations

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


def spell(node: Any) -> str:
    """`numeric(14,2)`, `timestamp(3) with time zone`, `text[]`, `system_core.email`."""
    parts = [part.sval for part in node.names]
    if parts[0] == "pg_catalog":
        parts = parts[1:]
    name = _INTERNAL.get(parts[0], parts[0]) if len(parts) == 1 else _qualified(parts)
    if node.pct_type:
        name += "%TYPE"
    modifiers = _modifiers(node)
    if modifiers:
        first, space, rest = name.partition(" ")
        timed = first in ("timestamp", "time")
        name = f"{first}({modifiers}){space}{rest}" if timed else f"{name}({modifiers})"
    return name + "[]" * bool(node.arrayBounds)


def spell_name(name: Name) -> str:
    """A type of a schema, as a column of it is spelled."""
    return _qualified([name.schema, name.name])


def _qualified(parts: list[str]) -> str:
    return ".".join(map(names.quoted, parts))


def _modifiers(node: Any) -> str:
    if node.names[-1].sval == "interval":
        return ""
    constants = [modifier.val for modifier in node.typmods or () if hasattr(modifier, "val")]
    return ",".join(str(constant.ival) for constant in constants if hasattr(constant, "ival"))
