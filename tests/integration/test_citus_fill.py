"""A tenant's statements on the node of a real cluster that holds it, by the fill's clock.

HARNESS_CITUS_DSN names the coordinator.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from datagen import moment, node
from datagen.audit import audit
from datagen.node import Delegate
from harness.config import Settings
from harness.db import Connection, Target, connect
from tests.integration import citus_cluster

pytestmark = pytest.mark.citus

AS_OF = datetime(2026, 3, 1, 9, tzinfo=UTC)
TENANT = uuid.UUID("00000000-0000-7000-8000-000000000001")
NOTES = """
CREATE SCHEMA harness;
CREATE TABLE auto.note (
    business_id uuid NOT NULL, note_id int NOT NULL, said_at timestamptz, key text,
    PRIMARY KEY (business_id, note_id));
CREATE FUNCTION auto.date_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.said_at := now();
    NEW.key := current_setting('harness.key_seed');
    RETURN NEW;
END $$;
SET citus.enable_unsafe_triggers = on;
CREATE TRIGGER dated BEFORE INSERT OR UPDATE ON auto.note
    FOR EACH ROW EXECUTE FUNCTION auto.date_note();
SELECT create_distributed_table('auto.note', 'business_id',
                                colocate_with => 'tenant_mgmt.business');
CREATE VIEW auto.first_note AS SELECT * FROM auto.note WHERE note_id = 1;
"""


@pytest.fixture(scope="module")
def filling(settings: Settings) -> Iterator[Connection]:
    """A session of a fill on a cluster of a table whose trigger tells the time."""
    with (
        citus_cluster.database(citus_cluster.dsn()) as own,
        connect(own, autocommit=True) as connection,
    ):
        citus_cluster.prepare(connection)
        citus_cluster.send(connection, NOTES)
        moment.prepare(connection)
        moment.prepare_nodes(connection)
        node.prepare(connection, settings.tenancy)
        moment.follow(connection, AS_OF)
        yield connection


def test_a_truth_is_asked_on_each_node_of_the_tenants_there(
    filling: Connection, settings: Settings, tmp_path: Path
) -> None:
    """What no coordinator can plan: a comparison with the row before it, of all tenants."""
    (tmp_path / "auto").mkdir()
    (tmp_path / "auto" / "note.toml").write_text(
        '"a note follows the one before" = """'
        "SELECT n.business_id FROM auto.note AS n JOIN LATERAL ("
        "SELECT o.note_id FROM auto.note AS o WHERE o.business_id = n.business_id"
        " AND o.note_id < n.note_id ORDER BY o.note_id DESC LIMIT 1"
        ') AS before ON n.note_id <> before.note_id + 1"""\n'
    )
    own = make_conninfo(citus_cluster.dsn(), dbname=filling.info.dbname)
    tenants = [uuid.uuid4() for _ in range(9)]
    try:
        for tenant in tenants:
            filling.execute("INSERT INTO tenant_mgmt.business VALUES (%s)", [tenant])
            with filling.transaction():
                moment.restart_nodes(filling, AS_OF, 7, tenant, "a.note")
                filling.execute(
                    "INSERT INTO auto.note (business_id, note_id) VALUES (%s, 1), (%s, 3)",
                    [tenant, tenant],
                )
        found = audit(Target(own, own, own), settings, AS_OF, tmp_path)
    finally:
        filling.execute("DELETE FROM auto.note")
        filling.execute("DELETE FROM tenant_mgmt.business")
    (broken,) = found.broken
    assert (broken.error, broken.rows, broken.tenants) == ("", len(tenants), len(tenants))


@pytest.fixture
def notes(filling: Connection) -> Iterator[Delegate]:
    """Where the tenant's notes are, in a transaction of a unit that is rolled back."""
    with filling.transaction(force_rollback=True):
        moment.restart_nodes(filling, AS_OF, 7, TENANT, "a.note")
        yield node.delegate(filling, TENANT)


def _notes(there: Delegate) -> list[list[str]]:
    return there.told(
        f"SELECT ARRAY[note_id::text, said_at::text, key] FROM {_shard(there)} ORDER BY 1"
    )


def _shard(there: Delegate) -> str:
    (shard,) = (shard for table, shard in there.shards.items() if table.name == "note")
    return str(shard)


def test_rows_that_come_by_the_coordinator_are_dated_on_the_nodes(notes: Delegate) -> None:
    notes.connection.execute("INSERT INTO auto.note VALUES (%s, 1)", [TENANT])
    assert _notes(notes) == [["1", "2026-03-01 09:00:00+00", f"7 {TENANT} a.note"]]


def test_a_temporary_table_and_a_view_serve_an_update_on_the_node(notes: Delegate) -> None:
    notes.run(f"""
        INSERT INTO auto.note SELECT '{TENANT}', n FROM generate_series(1, 3) AS n;
        CREATE TEMPORARY TABLE moved ON COMMIT DROP AS SELECT note_id FROM auto.first_note;
        UPDATE auto.note SET note_id = 10 + random()::int * 0 FROM moved
        WHERE business_id = '{TENANT}' AND note.note_id = moved.note_id;
    """)
    assert [number for number, *_ in _notes(notes)] == ["10", "2", "3"]
    rows = notes.connection.execute("SELECT count(*) FROM auto.note").fetchone()
    assert rows == (3,), "the coordinator finds them where they belong"


def test_what_is_done_on_a_node_goes_with_the_transaction(filling: Connection) -> None:
    there = node.delegate(filling, TENANT)
    with filling.transaction(force_rollback=True):
        moment.restart_nodes(filling, AS_OF, 7, TENANT, "a.note")
        there.run(f"INSERT INTO auto.note VALUES ('{TENANT}', 1)")
        assert len(_notes(there)) == 1
    assert filling.execute("SELECT count(*) FROM auto.note").fetchone() == (0,)
