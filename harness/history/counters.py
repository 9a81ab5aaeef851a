"""What the server counted while the load was driven: read before and after it, stored as passes."""

from __future__ import annotations

from dataclasses import dataclass

from harness.db import Target, connect
from harness.history.database import as_operator

_CAN_READ = "SELECT to_regprocedure('observability.read_counters(boolean, bigint[])') IS NOT NULL"

_STORE = """
SELECT observability.store_snapshot(l.monitored_instance_id, %s::jsonb, %s, l.load_run_id)
FROM observability.load_run AS l
WHERE l.business_id = tenant_mgmt.current_business_id() AND l.run_label = %s
"""


@dataclass(frozen=True, slots=True)
class Counters:
    """Two documents of observability.read_counters(), as text."""

    before: str
    after: str


def read(target: Target) -> str | None:
    """What the server has counted for the database so far; None where the deployed schema has
    nothing that reads it."""
    with connect(target.admin) as connection:
        if connection.execute(_CAN_READ).fetchone() != (True,):
            return None
        row = connection.execute("SELECT observability.read_counters()::text").fetchone()
    return str(row[0]) if row else None


def store(target: Target, run_id: str, counters: Counters) -> None:
    """Stores both as passes of the load of a run that is in the history."""
    with connect(target.app) as connection:
        as_operator(connection)
        for kind, document in (("before_load", counters.before), ("after_load", counters.after)):
            connection.execute(_STORE, [document, kind, run_id])
