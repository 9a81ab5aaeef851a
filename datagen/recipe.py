"""Recipes: what cannot be inferred about a table, one small TOML file per area.

`recipes/<schema>/<area>.toml` has a table per table; `<area>.sql` beside it has statements that
settle figures which follow from other rows, run per tenant after its tables are loaded; they may
name %(business_id)s, the tenant, %(canary)s, the token that its texts carry, and %(as_of)s, the
moment that the data are of. A file that begins with `-- rounds: 2` settles twice for every tenant,
%(round)s is 1 and 2: the second time the planner knows of the rows of the first.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datagen.expression import UnknownExpression, compile_expression
from harness.catalog.model import Catalog, Name, Table
from harness.errors import UsageError

BUNDLED = Path(__file__).parent / "recipes"
_ROUNDS = re.compile(r"-- rounds: (\d+)\n")
INDUSTRIES = "industries.toml"
"""Beside the directories of the schemas: which industry a schema belongs to."""
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
_NAMES = ("row", "ordinal", "siblings", "as_of", "tenant")
"""What an expression may name besides columns."""
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
    derived: tuple[float, float] = (0, 0)
    """About how many rows statements and triggers add: of any tenant, and times scale and size."""
    per: Per | None = None
    columns: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Per column one draw of DRAWS, with modifiers; `expression` is SQL."""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Recipes:
    """All recipes of a directory."""

    tables: Mapping[Name, Recipe]
    settle: tuple[tuple[str, str], ...]
    """(file within the directory, statements) in order of the files."""
    industries: Mapping[str, str] = field(default_factory=dict)
    """The industry that a schema belongs to, from industries.toml."""


def read_all(directory: Path, catalog: Catalog) -> Recipes:
    """Reads every recipe; UsageError names file, table and what to do where one is wrong.

    Recipes of schemas that the catalog does not have are left out.
    """
    tables: dict[Name, Recipe] = {}
    settle: list[tuple[str, str]] = []
    _require_layout(directory, catalog)
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
            file = statements.relative_to(directory).as_posix()
            settle += _rounds(file, statements.read_text(encoding="utf-8"))
    return Recipes(tables, tuple(settle), _industries(directory))


def _rounds(file: str, statements: str) -> Iterator[tuple[str, str]]:
    """A file's statements, as often as it says that it settles."""
    told = _ROUNDS.match(statements)
    rounds = int(told[1]) if told else 1
    for turn in range(1, rounds + 1):
        name = f"{file} {turn}/{rounds}" if told else file
        yield name, statements.replace("%(round)s", str(turn))


def _industries(directory: Path) -> Mapping[str, str]:
    path = directory / INDUSTRIES
    return {schema: str(name) for schema, name in _parse(path).items()} if path.is_file() else {}


def _require_layout(directory: Path, catalog: Catalog) -> None:
    """Recipes stand in a directory of their schema's name."""
    if not directory.is_dir():
        raise UsageError(f"{directory}: there is no such directory of recipes")
    for path in sorted(set(directory.glob("*.toml")) - {directory / INDUSTRIES}):
        place = directory / "<schema>" / path.name
        raise UsageError(f"{path}: recipes stand in a directory of their schema's name: {place}")
    if directory == BUNDLED:
        return
    for path in sorted(directory.glob("*/*.toml")):
        if path.parent.name not in catalog.schemas:
            raise UsageError(f"{path}: there is no schema {path.parent.name}")


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None


def _require_known(path: Path, name: Name, content: Any, catalog: Catalog) -> None:
    table = catalog.tables.get(name)
    if table is None:
        raise UsageError(f"{path}: [{name.name}]: there is no table {name}")
    if not isinstance(content, dict):
        raise UsageError(f"{path}: {name.name} stands in no table; write [{name.name}] above it")
    unknown = set(content) - {"rows", "fixed", "per", "derived", "columns"}
    if unknown:
        raise UsageError(f"{path}: [{name.name}]: unknown key {', '.join(sorted(unknown))}")
    _require_figures(path, name, content, table)
    for column, draw in content.get("columns", {}).items():
        if column not in table.columns:
            raise UsageError(f"{path}: [{name.name}]: there is no column {column}")
        keys = set(draw) if isinstance(draw, dict) else set()
        if keys - set(DRAWS) - set(_MODIFIERS):
            wrong = ", ".join(sorted(keys - set(DRAWS) - set(_MODIFIERS)))
            raise UsageError(f"{path}: [{name.name}] {column}: unknown key {wrong}")
        _require_expression(path, f"[{name.name}] {column}", draw, table)


def _require_figures(path: Path, name: Name, content: Mapping[str, Any], table: Table) -> None:
    where = f"{path}: [{name.name}]"
    rows = content.get("rows", 0)
    if not isinstance(rows, int) or isinstance(rows, bool) or rows < 0:
        raise UsageError(f"{where}: rows is {rows!r}, not a number of rows")
    if not isinstance(content.get("columns", {}), dict):
        raise UsageError(f"{where}: columns is no table; write [{name.name}.columns]")
    per = content.get("per")
    if per is None:
        return
    counts = per.get("counts") if isinstance(per, dict) else None
    two = isinstance(counts, list) and len(counts) == 2 and all(isinstance(n, int) for n in counts)
    if not two or per.get("parent") not in table.columns:
        raise UsageError(
            f"{where}: per needs a foreign key's column and two counts, as in"
            ' { parent = "order_id", counts = [1, 5] }'
        )


def _require_expression(path: Path, where: str, draw: Any, table: Table) -> None:
    """An expression can be parsed, and names what there is."""
    text = draw.get("expression") if isinstance(draw, dict) else draw
    if text is None:
        return
    try:
        names = compile_expression(str(text)).columns
    except UnknownExpression as error:
        raise UsageError(f"{path}: {where}: expression {text!r} {error}") from None
    for name in sorted(names):
        first = name.partition(".")[0]
        if name not in table.columns and first not in {*table.columns, *_NAMES}:
            raise UsageError(f"{path}: {where}: expression {text!r}: there is no column {name}")


def _recipe(path: Path, content: Mapping[str, Any]) -> Recipe:
    per = content.get("per")
    columns = {
        name: draw if isinstance(draw, dict) else {"expression": str(draw)}
        for name, draw in content.get("columns", {}).items()
    }
    return Recipe(
        rows=content.get("rows", 200),
        fixed=content.get("fixed", False),
        derived=tuple(content.get("derived", (0, 0))),
        per=Per(per["parent"], tuple(per["counts"])) if per else None,
        columns=columns,
        source=str(path),
    )
