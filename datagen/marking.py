"""Puts the tenant's canary into free texts, so that a row is recognized wherever it turns up.

What people write (notes, descriptions, titles) carries it in every few rows at its end, where it
does not disturb the reading; what a constraint compares, and codes and names, do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from psycopg import sql

from datagen.tenants import Tenant
from datagen.values import Values, objects, of
from harness.catalog.model import Column, Table

if TYPE_CHECKING:
    from datagen.plan import TablePlan

EVERY = 4
"""Of the texts that are loaded one in so many carries it, the first one among them."""
FEW = 5
"""So many rows carry it of a table that statements fill."""
_FREE = re.compile(
    r"(^|_)(notes?|comments?|descriptions?|reason|memo|details?|excerpt|message|body|summary|title"
    r"|subject|instructions?|remark|narrative|explanation|feedback|findings?|justification"
    r"|rationale|resolution|complaint|headline|caption|bio)(_text|_markdown|_html)?$"
)
_REMARK = re.compile(
    r"(^|_)(notes?|comments?|reason|memo|remark|narrative|explanation|feedback|justification"
    r"|rationale|resolution|complaint)(_text)?$"
)
"""Of what statements write, which may stand elsewhere too: what is said of the row alone."""
_TEXTS = ("text", "character varying", "citext")
# What of a CHECK a text may be made longer under.
_HARMLESS = (
    r"\b{0}\b (IS (NOT )?NULL|~ '\\S'(::text)?)"
    r"|COALESCE\({0}, ''(::text)?\) ~ '\\S'(::text)?"
)


# The first rows by their keys, so that they are the same in every fill.
_MARK = """
DO $mark$ BEGIN
UPDATE {table} SET {column} = {column} || ' (' || %(canary)s || ')'
WHERE ({key}) IN (
    SELECT {key} FROM {table}
    WHERE {tenant} = %(business_id)s AND {column} IS NOT NULL
      AND strpos({column}, %(canary)s) = 0
    ORDER BY {key} LIMIT {few}
) AND {tenant} = %(business_id)s;
EXCEPTION WHEN raise_exception OR integrity_constraint_violation OR insufficient_privilege
    OR object_not_in_prerequisite_state OR feature_not_supported THEN NULL;
END $mark$;
"""
"""Rows that a trigger keeps as they are stay so."""


def statements(tables: Iterable[TablePlan]) -> str:
    """What puts the canary into tables that only statements fill; those that the application or a
    trigger does not let change stay as they are."""
    return "".join(
        _statement(table.table, column, table.tenant_column)
        for table in tables
        if table.tenant_column is not None
        and table.recipe.rows == 0
        and table.recipe.per is None
        and _is_updated(table.table)
        for column in table.columns
        if is_free(table, column)
    )


def _is_updated(table: Table) -> bool:
    granted = {privilege for grant in table.grants for privilege in grant.privileges}
    return "update" in granted and table.primary_key is not None


def _statement(table: Table, column: Column, tenant_column: str) -> str:
    key = table.primary_key.columns if table.primary_key else ()
    statement = sql.SQL(_MARK).format(
        table=table.name.identifier,
        column=sql.Identifier(column.name),
        key=sql.SQL(", ").join(map(sql.Identifier, key)),
        tenant=sql.Identifier(tenant_column),
        few=sql.Literal(FEW),
    )
    return statement.as_string()


def is_free(table: TablePlan, column: Column) -> bool:
    """Whether a column holds what somebody wrote, and nothing compares it."""
    name = column.name
    settled = table.recipe.rows == 0 and table.recipe.per is None
    return (
        column.type in _TEXTS
        and (_REMARK if settled else _FREE).search(name) is not None
        and not name.startswith("job_")
        and name not in table.told.choices
        and not any(name in unique.columns for unique in table.uniques)
        and table.reference_of(name) is None
        and name not in _used(table)
        and not any(_compares(check.expression or "", name) for check in table.table.checks)
    )


def marked(table: TablePlan, column: Column, values: Values, tenant: Tenant) -> Values:
    """The values, some of them with the canary where the column is a free text."""
    if values.data.dtype != object or column.name not in table.free:
        return values
    rows = np.flatnonzero(~values.null)[::EVERY]
    texts = [_with(text, tenant.canary) for text in values.data[rows]]
    return values.put(rows, of(objects(texts))) if texts else values


def _with(text: object, canary: str) -> object:
    return text if not isinstance(text, str) or canary in text else f"{text} ({canary})"


def _used(table: TablePlan) -> set[str]:
    """Columns that others of the row are made from."""
    made = (
        str(draw.get(key, ""))
        for draw in table.recipe.columns.values()
        for key in ("expression", "template", "json", "after")
    )
    return {word for text in made for word in re.findall(r"\w+", text)}


def _compares(check: str, name: str) -> bool:
    left = re.sub(_HARMLESS.format(re.escape(name)), "", check, flags=re.IGNORECASE)
    return re.search(rf"\b{re.escape(name)}\b", left) is not None
