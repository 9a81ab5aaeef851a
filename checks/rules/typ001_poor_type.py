"""No column has a type that is better spelled otherwise.

varchar(n) and char(n) cut or pad what a CHECK would explain; a timestamp without time zone
names no moment; money depends on a setting of the server; serial hides a sequence with
rights of its own; json keeps text that jsonb can index.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.rule import Violation
from checks.wording import quoted
from harness.catalog.model import Catalog, Column
from harness.finding import Severity

SEVERITY = Severity.WARNING

_ARGUMENTS = re.compile(r"\(.*?\)|\[\]")
_BETTER = {
    "character varying": "text",
    "character": "text",
    "timestamp without time zone": "timestamptz",
    "time with time zone": "timestamptz",
    "money": "numeric",
    "json": "jsonb",
    "serial": "uuid",
}
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL, name text, built_at timestamptz, notes jsonb);
"""
BAD = """
CREATE TABLE auto.bay (
    business_id uuid NOT NULL,
    name varchar(30), -- here
    built_at timestamp, -- here
    price money, -- here
    number bigserial, -- here
    notes json -- here
);
"""


def check(catalog: Catalog) -> Iterator[Violation]:
    for table in catalog.tables.values():
        for column in table.columns.values() if table.partition_of is None else ():
            kind = _kind(column)
            better = _BETTER.get(_ARGUMENTS.sub("", kind))
            if better is not None:
                yield Violation(
                    str(table.name),
                    f"{table.name}.{column.name} is {kind}; use {better}",
                    column.location,
                    f"{quoted(column.name)} {better}",
                )


def _kind(column: Column) -> str:
    return "serial" if (column.default or "").startswith("nextval(") else column.type
