"""What a practitioner would say must hold of filled data, schema by schema.

`datagen/truths/<schema>/<area>.toml` states each truth as a query of the rows that break it; beside
them, what the schema's own proofs find: functions that recompute balances from their ledgers.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import sql

import datagen
from datagen.fill import fill
from datagen.plan import FillSettings
from harness.config import Settings
from harness.db import Connection, Target

DIRECTORY = Path(datagen.__file__).parent / "truths"
TRUTHS = {
    f"{path.parent.name}: {truth}": violations
    for path in sorted(DIRECTORY.glob("*/*.toml"))
    for truth, violations in tomllib.loads(path.read_text(encoding="utf-8")).items()
}
PROOFS = """
    SELECT n.nspname, p.proname
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE p.proretset AND p.pronargs = p.pronargdefaults
      AND (p.proname LIKE '%\\_differences' OR p.proname = 'reconcile_receivables')
    ORDER BY 1, 2"""


def _broken_truths(connection: Connection) -> dict[str, list[object]]:
    found = {
        truth: connection.execute(violations.encode()).fetchmany(5)
        for truth, violations in TRUTHS.items()
    }
    return {truth: rows for truth, rows in found.items() if rows}


def _failed_proofs(connection: Connection) -> dict[str, list[object]]:
    proofs = connection.execute(PROOFS).fetchall()
    assert len(proofs) >= 10
    failed: dict[str, list[object]] = {}
    for (tenant,) in connection.execute("SELECT business_id FROM tenant_mgmt.business").fetchall():
        connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
        for proof in proofs:
            query = sql.SQL("SELECT * FROM {}()").format(sql.Identifier(*proof))
            if rows := connection.execute(query).fetchmany(5):
                failed[f"{'.'.join(proof)} of {tenant}"] = rows
    return failed


def test_nothing_breaks_a_truth_of_a_filled_database(
    deployed: Target, copy_of: Callable[[Target], Target], settings: Settings
) -> None:
    target = copy_of(deployed)
    wanted = FillSettings(2, 0.05, 7, datetime(2026, 6, 1, 12, tzinfo=UTC))
    assert fill(target, settings, wanted).unmet == ()
    with psycopg.connect(target.admin) as connection:
        assert _broken_truths(connection) == {}
        assert _failed_proofs(connection) == {}
