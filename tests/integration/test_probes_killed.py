"""Killed at any moment, the probes leave nothing: no row, no object, no lock, no setting."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from typing import Any

import psycopg
import pytest

from harness.config import Settings
from harness.db import Target
from tests.conftest import ROOT
from tests.integration.small_schemas import SETTING
from tests.integration.spares import name_of

ATTACK = """
import json, sys
from checks import isolation
from harness.config import Settings
from harness.db import Target
target, settings, owned = json.loads(sys.argv[1])
settings = Settings.model_validate(settings)
print("ready", flush=True)
while True:
    isolation.check(Target(**target), settings, owned)
"""
# Sequences are read by their own names: a number that is drawn is not taken back.
STATE = """
SELECT (SELECT json_agg(c ORDER BY c) FROM (
            SELECT oid, relname, relfilenode, relrowsecurity, relforcerowsecurity, relacl::text
            FROM pg_class WHERE relnamespace = 'shop'::regnamespace) AS c),
       (SELECT json_agg(p.oid ORDER BY p.oid) FROM pg_proc AS p
        WHERE pronamespace = 'shop'::regnamespace),
       (SELECT json_agg(t.* ORDER BY t.oid) FROM (
            SELECT oid, tgname, tgenabled FROM pg_trigger) AS t),
       (SELECT json_agg(n.nspname ORDER BY n.nspname) FROM pg_namespace AS n
        WHERE n.nspname !~ '^pg_'),
       (SELECT count(*) FROM pg_policy), (SELECT count(*) FROM pg_largeobject_metadata),
       (SELECT count(*) FROM pg_class WHERE relpersistence = 't'),
       (SELECT count(*) FROM pg_db_role_setting), (SELECT count(*) FROM pg_prepared_xacts),
       (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())),
       (SELECT md5(string_agg(r::text, ',' ORDER BY r::text)) FROM shop.item AS r),
       (SELECT md5(string_agg(r::text, ',' ORDER BY r::text)) FROM shop.line AS r),
       (SELECT last_value::text || is_called FROM shop.number)
"""
MORE = """
ALTER TABLE shop.item ADD photo oid, ADD code text UNIQUE;
UPDATE shop.item SET code = item_id::text;
CREATE SEQUENCE shop.number;
GRANT ALL ON SEQUENCE shop.number TO app_user;
CREATE FUNCTION shop.draw() RETURNS bigint LANGUAGE sql RETURN nextval('shop.number');
CREATE FUNCTION shop.lock() RETURNS void LANGUAGE sql RETURN pg_advisory_lock(4711);
CREATE FUNCTION shop.rows() RETURNS bigint LANGUAGE sql SECURITY DEFINER
    AS 'SELECT count(*) FROM shop.item';
CREATE FUNCTION shop.tell() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN PERFORM pg_notify(''items'', NEW::text); RETURN NULL; END';
CREATE TRIGGER tell AFTER INSERT ON shop.item FOR EACH ROW EXECUTE FUNCTION shop.tell();
GRANT TRUNCATE ON shop.line TO app_user;
ALTER TABLE shop.org DISABLE ROW LEVEL SECURITY;
"""


def state(connection: psycopg.Connection) -> Any:
    return connection.execute(STATE).fetchone()


def is_alone(connection: psycopg.Connection) -> bool:
    """Whether the server has noticed that the other sessions are gone."""
    row = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    ).fetchone()
    return row == (0,)


def wait_for(connection: psycopg.Connection) -> None:
    until = time.monotonic() + 20
    while not is_alone(connection):
        assert time.monotonic() < until, "a session of the killed process is still there"
        time.sleep(0.02)


@pytest.fixture
def small(database: Target) -> psycopg.Connection:
    connection = psycopg.connect(database.admin, autocommit=True)
    SETTING.create(connection)
    connection.execute(MORE.encode())
    return connection


def test_nothing_is_left_by_probes_that_were_killed(
    small: psycopg.Connection, database: Target, settings: Settings
) -> None:
    own = {"tenancy": SETTING.settings(settings).tenancy.model_dump()}
    target = {"admin": database.admin, "app": database.app, "loader": database.loader}
    given = json.dumps([target, own, name_of(database)])
    small.execute("LISTEN items")
    before, chance = state(small), random.Random(7)
    for _ in range(4):
        command = [sys.executable, "-c", ATTACK, given]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as attack:
            assert attack.stdout
            assert attack.stdout.readline() == "ready\n"
            time.sleep(chance.uniform(0.2, 1.2))
            attack.send_signal(signal.SIGKILL)
        assert attack.returncode == -signal.SIGKILL
        wait_for(small)
        assert state(small) == before
    assert list(small.notifies(timeout=0)) == []
    small.close()
