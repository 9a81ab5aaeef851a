"""A temporary table belongs to the connection and not to a tenant: what one tenant's transaction
puts there, the next one on a pooled connection reads. Make them ON COMMIT DROP, take TEMPORARY
from the application, or let the pool run DISCARD ALL between tenants."""

from __future__ import annotations

from collections.abc import Iterator

from checks.attempt import Outcome, Subject, first
from checks.ground import Ground
from checks.surveying import on_one_table
from harness.run import ProbeResult

RULE = "CTX003"
MAY = "SELECT has_database_privilege(current_database(), 'TEMPORARY')"
CREATE = (
    "CREATE TEMPORARY TABLE harness_kept AS SELECT {tenant} FROM {table}"
    " WHERE {tenant} = {own} LIMIT 1"
)


def survey(ground: Ground) -> Iterator[ProbeResult]:
    yield on_one_table(ground, "temp_table", _read_what_the_other_kept)


def _read_what_the_other_kept(ground: Ground, subject: Subject) -> Outcome:
    """In one transaction, which is rolled back: a temporary table that stays would be written."""
    with ground.wire.transaction(ground.other) as connection:
        if not first(connection, MAY):
            return Outcome(False, "the application may not make temporary tables")
        connection.execute(subject.compose(CREATE))
        ground.wire.work_for(ground.own)
        rows = first(connection, "SELECT count(*) FROM pg_temp.harness_kept")
    return Outcome(
        rows > 0,
        f"a temporary table that was filled for another tenant still shows {rows} row"
        f" of {subject.table.name} on the same connection",
    )
