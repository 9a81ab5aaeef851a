"""Recipes: what cannot be inferred about a table, one small TOML file per area.

`recipes/<schema>/<area>.toml` has a table per table; `<area>.sql` beside it has statements that
settle figures which follow from other rows, run per tenant after its tables are loaded; they may
name %(business_id)s, the tenant, and %(as_of)s, the moment that the data are of.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.catalog.model import Catalog, Name
from harness.errors import UsageError

BUNDLED = Path(__file__).parent / "recipes"
DRAWS = (
    "value",
    "weights",
    "values",
    "integers",
    "uniform",
    "lognormal",
    "after",
    "time",
    "zipf",
    "generator",
    "json",
    "template",
    "expression",
    "default",
)
_MODIFIERS = (
    "null",
    "median",
    "sigma",
    "digits",
    "days",
    "hours",
    "order",
    "pick",
    "block",
    "among",
)


@dataclass(frozen=True, slots=True)
class Per:
    """Children in blocks: so many for each row of the parent that a column refers to."""

    column: str
    counts: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is known about a table beyond its catalog."""

    rows: int = 200
    """Rows of a small tenant at scale 1."""
    fixed: bool = False
    per: Per | None = None
    columns: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Per column one draw of DRAWS, with modifiers; `expression` is SQL."""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Recipes:
    """All recipes of a directory."""

    tables: Mapping[Name, Recipe]
    settle: tuple[tuple[str, str], ...]
    """(file, statements) in order of the files."""


def read_all(directory: Path, catalog: Catalog) -> Recipes:
    """Reads every recipe; UsageError names file, table and what to do where one is wrong.

    Recipes of schemas that the catalog does not have are left out.
    """
    tables: dict[Name, Recipe] = {}
    settle: list[tuple[str, str]] = []
    for path in sorted(directory.glob("*/*.toml")):
        schema = path.parent.name
        if schema not in catalog.schemas:
            continue
        for table, content in _parse(path).items():
            name = Name(schema, table)
            _require_known(path, name, content, catalog)
            tables[name] = _recipe(path, content)
        statements = path.with_suffix(".sql")
        if statements.is_file():
            settle.append((str(statements), statements.read_text(encoding="utf-8")))
    return Recipes(tables, tuple(settle))


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None


def _require_known(path: Path, name: Name, content: Any, catalog: Catalog) -> None:
    table = catalog.tables.get(name)
    if table is None:
        raise UsageError(f"{path}: [{name.name}]: there is no table {name}")
    unknown = set(content) - {"rows", "fixed", "per", "columns"}
    if unknown:
        raise UsageError(f"{path}: [{name.name}]: unknown key {', '.join(sorted(unknown))}")
    for column, draw in content.get("columns", {}).items():
        if column not in table.columns:
            raise UsageError(f"{path}: [{name.name}]: there is no column {column}")
        keys = set(draw) if isinstance(draw, dict) else set()
        if keys - set(DRAWS) - set(_MODIFIERS):
            wrong = ", ".join(sorted(keys - set(DRAWS) - set(_MODIFIERS)))
            raise UsageError(f"{path}: [{name.name}] {column}: unknown key {wrong}")


def _recipe(path: Path, content: Mapping[str, Any]) -> Recipe:
    per = content.get("per")
    columns = {
        name: draw if isinstance(draw, dict) else {"expression": str(draw)}
        for name, draw in content.get("columns", {}).items()
    }
    return Recipe(
        rows=content.get("rows", 200),
        fixed=content.get("fixed", False),
        per=Per(per["parent"], tuple(per["counts"])) if per else None,
        columns=columns,
        source=str(path),
    )
