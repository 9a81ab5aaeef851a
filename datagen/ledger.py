"""What of a fill is there: harness.fill_unit, written in the transaction that it tells of."""

from __future__ import annotations

import uuid

from harness.db import Connection
from harness.errors import RefusedError

_LEDGER = """
CREATE TABLE IF NOT EXISTS harness.fill_unit (
    fingerprint text        NOT NULL,
    tenant      uuid        NOT NULL,
    unit        text        NOT NULL,
    row_count   bigint      NOT NULL,
    filled_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (fingerprint, tenant, unit)
)
"""
_DONE = "INSERT INTO harness.fill_unit (fingerprint, tenant, unit, row_count) VALUES (%s,%s,%s,%s)"

Done = dict[tuple[str, str], int]
"""Rows by tenant and unit: a table, or a file of statements."""


def read(connection: Connection, fingerprint: str) -> Done:
    """What of this fill is there; RefusedError where rows of another one are."""
    connection.execute(_LEDGER)
    known = connection.execute("SELECT DISTINCT fingerprint FROM harness.fill_unit").fetchall()
    if any(found != fingerprint for (found,) in known):
        raise RefusedError(
            f"database {connection.info.dbname} was filled with other settings or recipes; make "
            "it anew with `harness deploy --recreate`"
        )
    rows = connection.execute("SELECT tenant::text, unit, row_count FROM harness.fill_unit")
    return {(tenant, unit): count for tenant, unit, count in rows}


def note(connection: Connection, fingerprint: str, tenant: uuid.UUID, unit: str, rows: int) -> None:
    """Notes that a unit of a tenant is there."""
    connection.execute(_DONE, [fingerprint, tenant, unit, rows])
