"""pg_stat_activity shows a role the statements of all its sessions, with the values in them: under
one role for all tenants each reads what the others ask. Pass values as parameters, or give
tenants roles of their own."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

from psycopg import sql

from checks.attempt import Outcome, Session, first, judge
from checks.ground import Ground
from checks.surveying import noted
from harness.db import connect
from harness.run import ProbeResult

RULE = "CTX004"
SEEN = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE %s AND pid <> pg_backend_pid()"


def survey(ground: Ground) -> Iterator[ProbeResult]:
    yield noted(ground, "activity", judge(lambda: _overhear(ground)))


def _overhear(ground: Ground) -> Outcome:
    secret, attacker = uuid4().hex, ground.wire
    with connect(ground.database.app, autocommit=True) as connection:
        victim = Session(connection, ground.settings.tenancy)
        with victim.transaction(ground.other), attacker.transaction(ground.own) as listening:
            connection.execute(sql.SQL("SELECT {}").format(sql.Literal(secret)))
            seen = first(listening, SEEN, [f"%{secret}%"])
    told = "is shown" if seen else "is not shown"
    return Outcome(bool(seen), f"the statement of another tenant's session {told} to this one")
