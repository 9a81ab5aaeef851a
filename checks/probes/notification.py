"""Every role may LISTEN on every channel: what a trigger says with pg_notify about a tenant's row,
all tenants hear. Send no more than that there is something to look at.

Nothing is sent, for nothing is committed: in a transaction that is rolled back a function of the
same name stands before PostgreSQL's own and keeps what it is told. A call of pg_catalog.pg_notify,
or from a function with a search_path of its own, is not heard and is told by its text alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from psycopg import sql

from checks.attempt import Outcome, Session, Subject, first, judge, verdict_of
from checks.foreign_keys import let_go
from checks.ground import Ground
from harness.catalog.model import Name
from harness.db import Connection, is_lost
from harness.run import ProbeResult

RULE = "BYP008"
_SAYING = """
SELECT DISTINCT n.nspname, c.relname FROM pg_trigger AS t
JOIN pg_proc AS p ON p.oid = t.tgfoid
JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT t.tgisinternal AND p.prosrc ~* 'pg_notify|\\mnotify\\s' AND n.nspname = ANY (%s)
"""
_EAR = """
CREATE SCHEMA harness_ear;
CREATE TABLE harness_ear.heard (payload text);
CREATE FUNCTION harness_ear.pg_notify(channel text, payload text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = harness_ear
    AS 'BEGIN INSERT INTO heard VALUES ($2); END';
GRANT USAGE ON SCHEMA harness_ear TO PUBLIC;
SELECT set_config('search_path',
                  concat_ws(', ', 'harness_ear', 'pg_catalog',
                            nullif(current_setting('search_path'), '')), true);
"""
_FIND = "DECLARE told_row CURSOR FOR SELECT it::text FROM {table} AS it WHERE {tenant} = {other}"
_CHANGE = "UPDATE {table} SET {tenant} = {tenant} WHERE CURRENT OF told_row"
_REMOVE = "DELETE FROM {table} WHERE CURRENT OF told_row"
_ADD = (
    "INSERT INTO {table} ({tenant}{columns}) OVERRIDING SYSTEM VALUE"
    " SELECT {tenant}{columns} FROM (SELECT (CAST({row} AS {table})).*) AS it"
)
_HEARD = "SELECT payload FROM harness_ear.heard WHERE payload <> ''"


def survey(ground: Ground) -> Iterator[ProbeResult]:
    values = [list(ground.catalog.schemas)]
    saying = {Name(*row) for row in ground.admin.execute(_SAYING, values).fetchall()}
    subjects = [subject for subject in ground.subjects() if subject.table.name in saying]
    for subject in subjects:
        yield _result(ground, subject)
    if not subjects:
        yield ProbeResult(ground.name, "notification", "held", "no trigger sends notifications")


def _result(ground: Ground, subject: Subject) -> ProbeResult:
    outcome = judge(lambda: _listen(ground, subject))
    verdict = verdict_of(outcome, "weak", "noted")
    return ProbeResult(str(subject.table.name), "notification", verdict, outcome.detail)


def _listen(ground: Ground, subject: Subject) -> Outcome:
    """Writes a row of the other tenant in the admin's role: triggers are the same for all."""
    admin, there = ground.place_of(subject)
    with admin.transaction(force_rollback=True):
        admin.execute(_EAR)
        for statement in let_go(admin, there):
            _write(admin, statement)
        Session(admin, ground.settings.tenancy).work_for(ground.other)
        admin.execute("SET LOCAL enable_indexonlyscan = off")
        admin.execute(there.compose(_FIND))
        row = first(admin, "FETCH told_row")
        if row is None:
            return Outcome(None, "the other tenant has no row that could be written")
        _write(admin, there.compose(_CHANGE))
        _write(admin, there.compose(_REMOVE))
        _write(admin, there.compose(_ADD, row=sql.Literal(row)))
        heard = [payload for (payload,) in admin.execute(_HEARD).fetchall()]
    return _told(row, heard)


def _write(admin: Connection, statement: sql.Composed) -> None:
    """What a rule of the business or a foreign key refuses tells nothing."""
    try:
        with admin.transaction():
            admin.execute(statement)
    except psycopg.Error as error:
        if is_lost(error):
            raise


def _told(row: str, heard: list[str]) -> Outcome:
    """Whether what was heard holds a value of the row."""
    values = {value.strip('"') for value in row.strip("()").split(",") if len(value) > 3}
    for payload in heard:
        if any(value in payload for value in values):
            return Outcome(True, "every role hears values of another tenant's row")
    return Outcome(False, f"a trigger notifies; {len(heard)} payloads hold nothing of the row")
