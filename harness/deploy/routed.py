"""Queries of functions that join tables, as a cluster sends them to the one shard of their tenant.

Citus asks of every table in a query what it holds the tenant column against. It follows that from
one table to the next through a join, but not into a CTE, a query beside another or one that refers
to the row before it. So each table of such a query stands as `(SELECT * FROM t WHERE tenant = …)`,
which is what row security makes of it: PostgreSQL pulls it up as it does a table's own conditions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from harness.catalog.model import Name
from harness.deploy.bodies import UNTOUCHED, statements

_TABLE = re.compile(
    r"(?P<word>\b(?:FROM|JOIN)\b[\s(]*?)(?P<schema>[a-z_]\w*)\.(?P<name>[a-z_]\w*)\b(?!\s*[(.])"
    r"(?P<alias>\s+AS\s+\w+)?",
    re.IGNORECASE,
)
_ROW = "harness_row"
"""No variable of a function is called so, nor a table that it names columns by."""
_DELETES = re.compile(r"\bDELETE\s+$", re.IGNORECASE)
_SYSTEM = re.compile(r"\b(?:ctid|xmin|xmax|cmin|cmax|tableoid|TABLESAMPLE)\b", re.IGNORECASE)


def routed(body: str, tenant: Callable[[str], str], tables: Mapping[Name, str]) -> str:
    """The body of a function in which queries of several tables hold each against the tenant.

    `tenant` says what is the tenant in a statement, and nothing where that is not known; `tables`
    are the tenant columns of tables by their names.
    """
    return "".join(_routed(piece, tenant(piece), tables) for piece in statements(body))


def row_tenant(statement: str, column: str) -> str:
    """The tenant of the row that a trigger is run for, where a statement names just one."""
    named = set(re.findall(rf"\b(?:NEW|OLD)\.{re.escape(column)}\b", statement))
    return named.pop() if len(named) == 1 else ""


def _routed(statement: str, tenant: str, tables: Mapping[Name, str]) -> str:
    places = list(_places(statement, tables))
    if not tenant or len(places) < 2 or _SYSTEM.search(statement):
        return statement
    for found in reversed(places):
        name = Name(found["schema"], found["name"])
        alias = found["alias"] or f" AS {name.name}"
        query = f"(SELECT * FROM {name} AS {_ROW} WHERE {_ROW}.{tables[name]} = {tenant})"  # noqa: S608 - its own text
        statement = f"{statement[: found.start('schema')]}{query}{alias}{statement[found.end() :]}"
    return statement


def _places(statement: str, tables: Mapping[Name, str]) -> Iterator[re.Match[str]]:
    """Where the statement reads a table."""
    for found in re.finditer(f"{UNTOUCHED}|{_TABLE.pattern}", statement, re.DOTALL | re.IGNORECASE):
        if not found["name"] or Name(found["schema"], found["name"]) not in tables:
            continue
        if not _DELETES.search(statement[: found.start()]):
            yield found
