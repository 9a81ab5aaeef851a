"""What of a fill is there: harness.fill_unit, written in the transaction that it tells of.

A unit is a cohort of a table's rows for one tenant, or a file of statements that settled. Beside
it stands what the next cohort has to know of it, so that a fill can go on without it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from psycopg.types.json import Jsonb

from datagen.plan import FillPlan
from datagen.values import Array
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
);
ALTER TABLE harness.fill_unit ADD COLUMN IF NOT EXISTS numbered bigint NOT NULL DEFAULT 0;
ALTER TABLE harness.fill_unit ADD COLUMN IF NOT EXISTS refused jsonb NOT NULL DEFAULT '[]';
ALTER TABLE harness.fill_unit ADD COLUMN IF NOT EXISTS why text NOT NULL DEFAULT '';
CREATE TABLE IF NOT EXISTS harness.fill_value (
    tenant  uuid  NOT NULL,
    unit    text  NOT NULL,
    "unique" text  NOT NULL,
    hashes  bytea NOT NULL,
    PRIMARY KEY (tenant, unit, "unique")
);
"""
_DONE = """
INSERT INTO harness.fill_unit (fingerprint, tenant, unit, row_count, numbered, refused, why)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
_HELD = 'INSERT INTO harness.fill_value (tenant, unit, "unique", hashes) VALUES (%s, %s, %s, %s)'


@dataclass(frozen=True, slots=True)
class Unit:
    """What a unit left behind."""

    rows: int = 0
    numbered: int = 0
    """Row numbers that it took up; some rows may have been left out."""
    held: Mapping[str, Array] = field(default_factory=dict)
    """By unique constraint that spans cohorts: hashes of what its rows hold."""
    refused: Sequence[Sequence[int]] = ()
    """Which of the rows that were made PostgreSQL refused, time after time."""
    why: str = ""
    """What stood against rows that are not there."""


Done = Mapping[str, Unit]
"""The units of a tenant that are there, by name."""


def open_ledger(connection: Connection, the_plan: FillPlan) -> None:
    """Makes the ledger where there is none; RefusedError where rows of another fill are."""
    create(connection)
    known = connection.execute("SELECT DISTINCT fingerprint FROM harness.fill_unit").fetchall()
    if any(found != the_plan.fingerprint for (found,) in known):
        raise RefusedError(
            f"database {connection.info.dbname} was filled with other settings or recipes; make "
            "it anew with `harness deploy --recreate`"
        )


def create(connection: Connection) -> None:
    """Makes the ledger where there is none, also in a database that its owner named."""
    if connection.execute("SELECT to_regnamespace('harness')").fetchone() == (None,):
        connection.execute("CREATE SCHEMA harness")
    connection.execute(_LEDGER)


def read(connection: Connection, tenant: uuid.UUID) -> Done:
    """The units of a tenant that are there."""
    query = (
        "SELECT unit, row_count, numbered, refused, why FROM harness.fill_unit WHERE tenant = %s"
    )
    found = connection.execute(query, [tenant])
    return {
        unit: Unit(rows, numbered, refused=refused, why=why)
        for unit, rows, numbered, refused, why in found
    }


def notes(connection: Connection) -> set[tuple[uuid.UUID, str]]:
    """Which units of which tenants are there."""
    return set(connection.execute("SELECT tenant, unit FROM harness.fill_unit"))


def held(connection: Connection, tenant: uuid.UUID, unit: str) -> dict[str, Array]:
    """Hashes of what the rows of a unit hold."""
    query = 'SELECT "unique", hashes FROM harness.fill_value WHERE (tenant, unit) = (%s, %s)'
    rows = connection.execute(query, [tenant, unit])
    return {name: np.frombuffer(hashes, "uint64") for name, hashes in rows}


def note(
    connection: Connection, the_plan: FillPlan, tenant: uuid.UUID, name: str, unit: Unit
) -> None:
    """Notes that a unit of a tenant is there."""
    figures = [unit.rows, unit.numbered, Jsonb(unit.refused), unit.why]
    connection.execute(_DONE, [the_plan.fingerprint, tenant, name, *figures])
    for unique, hashes in unit.held.items():
        connection.execute(_HELD, [tenant, name, unique, hashes.tobytes()])
