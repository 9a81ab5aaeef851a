"""A cursor WITH HOLD outlives its transaction, and whoever has the connection next reads from it
what the tenant before has left there: no policy asks again. Close cursors, or let the pool run
DISCARD ALL between tenants."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import errors

from checks.attempt import Outcome, Subject
from checks.ground import Ground
from checks.surveying import on_one_table
from harness.run import ProbeResult

RULE = "CTX003"
DECLARE = (
    "DECLARE harness_held CURSOR WITH HOLD FOR SELECT {tenant} FROM {table}"
    " WHERE {tenant} = {own} LIMIT 1"
)


def survey(ground: Ground) -> Iterator[ProbeResult]:
    yield on_one_table(ground, "held_cursor", _fetch_what_the_other_left)


def _fetch_what_the_other_left(ground: Ground, subject: Subject) -> Outcome:
    """The transaction of the cursor must end well, or it would not outlive it; it only reads."""
    ground.wire.leave(ground.other, subject.compose(DECLARE))
    try:
        with ground.wire.transaction(ground.own) as connection:
            rows = connection.execute("FETCH harness_held").rowcount
    except errors.InvalidCursorName as error:
        return Outcome(False, f"no cursor was left: {error.diag.message_primary}")
    finally:
        ground.app.execute("CLOSE ALL")
    return Outcome(
        rows > 0,
        f"a cursor WITH HOLD of another tenant's transaction still gives {rows} row"
        f" of {subject.table.name} on the same connection",
    )
