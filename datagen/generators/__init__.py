"""Generators of values: one module per domain, per meaning of a column, or per type.

A module's name is the name of its domain (`email` makes system_core.email) or type. It has
`generate(request) -> Values`; PATTERNS are regular expressions of column names that it serves
where no domain says what the column holds.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from functools import cache
from types import ModuleType

from harness.catalog.model import Catalog, Column, Name

_TYPES = {
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamptz",
    "double precision": "real_number",
    "real": "real_number",
    "time without time zone": "time_of_day",
    "time with time zone": "time_of_day",
    "smallint": "integer",
    "bigint": "integer",
    "character varying": "text",
    "citext": "text",
    "character": "text",
    "json": "jsonb",
    "text[]": "text_array",
}


@cache
def modules() -> dict[str, ModuleType]:
    """All generators by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}") for name in names}


def choose(column: Column, catalog: Catalog) -> ModuleType | None:
    """The generator of a column: by domain, then by the column's name, then by its type."""
    base = base_type(column.type, catalog)
    if knows_domain(column, catalog):
        return modules()[Name.parse(column.type).name]
    texts = base in ("text", "citext") or base.startswith("character")
    if texts and (module := _of_name(column.name)) is not None:
        return module
    return modules().get(type_module(base))


@cache
def _of_name(column: str) -> ModuleType | None:
    """The generator that serves texts in columns of that name."""
    for module in modules().values():
        if any(re.search(pattern, column) for pattern in getattr(module, "PATTERNS", ())):
            return module
    return None


def knows_domain(column: Column, catalog: Catalog) -> bool:
    """Whether the column's type is a domain that a generator is named after."""
    name = Name.parse(column.type)
    return name in catalog.domains and name.name in modules()


def underlying(type_name: str, catalog: Catalog) -> str:
    """The type below all domains, with its modifier."""
    while (domain := catalog.domains.get(Name.parse(type_name))) is not None:
        type_name = domain.base_type
    return type_name


def base_type(type_name: str, catalog: Catalog) -> str:
    """The type below a domain, without its modifier and an extension's schema: `numeric` of
    system_core.money; an enum is text."""
    below = underlying(type_name, catalog)
    if Name.parse(below) in catalog.enums:
        return "text"
    bare = _bare(below)
    own = Name.parse(bare) in catalog.composites or Name.parse(bare) in catalog.ranges
    if "." in bare and not own:
        return bare.rpartition(".")[2]
    return bare


@cache
def _bare(type_name: str) -> str:
    return re.sub(r"\(.*?\)", "", type_name).strip()


def type_module(base: str) -> str:
    """The name of the module that serves a type."""
    return _TYPES.get(base, base)
