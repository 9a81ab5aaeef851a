"""A catalog cut into areas: what one file of a schema defines, or a whole schema of a database."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar

from harness.catalog.model import Catalog, Function, Table, View

Key = tuple[str, str]
"""Schema and path."""
Thing = TypeVar("Thing", Table, View, Function)

_BLOCK = re.compile(r"\s*/\*(.*?)\*/", re.DOTALL)
_STAR = re.compile(r"^[ \t]*\*?[ \t]?", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Area:
    """Tables that belong together, and what is told of them as a whole."""

    schema: str
    name: str
    """The name of its file without ending; of a database, the schema's."""
    title: str
    text: str
    tables: tuple[Table, ...]
    views: tuple[View, ...]
    functions: tuple[Function, ...]


def areas(catalog: Catalog, texts: Mapping[str, str]) -> tuple[Area, ...]:
    """The areas in load order; `texts` are the files by the paths that locations name."""
    tables = _grouped(t for t in catalog.tables.values() if t.partition_of is None)
    views, functions = _grouped(catalog.views.values()), _grouped(catalog.functions)
    order = {path: position for position, path in enumerate(texts)}
    keys = sorted({*tables, *views, *functions}, key=lambda key: (order.get(key[1], 0), key))
    return tuple(
        _area(
            key,
            texts.get(key[1], ""),
            tuple(tables[key]),
            tuple(views[key]),
            tuple(functions[key]),
        )
        for key in keys
    )


def header(text: str) -> tuple[str, str]:
    """Title and text of the block comment that a file begins with; empty where it has none."""
    found = _BLOCK.match(text)
    if found is None:
        return "", ""
    title, _, rest = _STAR.sub("", found[1]).strip().partition("\n")
    return title.rstrip("."), rest.strip()


def _area(
    key: Key,
    text: str,
    tables: tuple[Table, ...],
    views: tuple[View, ...],
    functions: tuple[Function, ...],
) -> Area:
    schema, path = key
    name = PurePosixPath(path).stem or schema
    title, told = header(text)
    return Area(schema, name, title or name, told, tables, views, functions)


def _grouped(things: Iterable[Thing]) -> defaultdict[Key, list[Thing]]:
    groups: defaultdict[Key, list[Thing]] = defaultdict(list)
    for thing in things:
        place = thing.location
        groups[thing.name.schema, place.file if place else ""].append(thing)
    return groups
