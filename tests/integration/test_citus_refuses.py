"""Static rules about Citus are right: what they find, a real cluster refuses or does wrongly, and
what they do not find it takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from checks.rule import Rule
from checks.rules import registry
from harness.config import Tenancy
from harness.db import Connection, connect
from tests.integration import citus_cluster

pytestmark = pytest.mark.citus

REFUSED = ("CIT002", "CIT003", "CIT004", "CIT005", "CIT009", "CIT010", "ORA001", "ORA002")
"""Rules whose bad examples cannot be distributed."""
TAKEN = (*REFUSED, "CIT001", "CIT006", "CIT007", "CIT011")
"""Rules whose good examples can."""
RULES = {rule.id: rule for rule in registry()}
SETTINGS = """
SET citus.enable_local_reference_table_foreign_keys = off;
SET citus.enable_unsafe_triggers = on;
"""
LOCAL = """
SELECT c.relname FROM pg_class AS c
WHERE c.relnamespace = 'auto'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY c.oid
"""


@pytest.fixture(scope="module")
def admin() -> Iterator[Connection]:
    with (
        citus_cluster.database(citus_cluster.dsn()) as made,
        connect(made, autocommit=True) as connection,
    ):
        citus_cluster.prepare(connection)
        connection.execute("CREATE EXTENSION btree_gist")
        citus_cluster.send(connection, SETTINGS)
        yield connection


@pytest.fixture
def emptied(admin: Connection) -> Iterator[Connection]:
    yield admin
    citus_cluster.clean(admin)


def distribute(admin: Connection, rule: Rule, example: str) -> None:
    """What an example says, its tables spread as their tenancy has it."""
    citus_cluster.send(admin, example)
    tenancy = rule.tenancy or Tenancy()
    for (table,) in admin.execute(LOCAL).fetchall():
        name = f"auto.{table}"
        if tenancy.shares(name):
            admin.execute("SELECT create_reference_table(%s)", [name])
        else:
            admin.execute(
                "SELECT create_distributed_table(%s, 'business_id',"
                " colocate_with => 'tenant_mgmt.business')",
                [name],
            )


@pytest.mark.parametrize(
    ("rule", "example"), [(RULES[name], bad) for name in REFUSED for bad in RULES[name].bad]
)
def test_what_is_found_cannot_be_distributed(rule: Rule, example: str, emptied: Connection) -> None:
    with pytest.raises(psycopg.Error):
        distribute(emptied, rule, example)


@pytest.mark.parametrize(
    ("rule", "example"), [(RULES[name], good) for name in TAKEN for good in RULES[name].good]
)
def test_what_is_not_found_can(rule: Rule, example: str, emptied: Connection) -> None:
    distribute(emptied, rule, example)


@pytest.mark.parametrize("example", RULES["CIT007"].bad)
def test_a_policy_that_reads_a_table_fails_every_query(example: str, emptied: Connection) -> None:
    distribute(emptied, RULES["CIT007"], example)
    emptied.execute("INSERT INTO auto.bay VALUES (gen_random_uuid())")
    open_to_application(emptied)
    with as_application(emptied), pytest.raises(psycopg.Error, match="distributed"):
        emptied.execute("SELECT count(*) FROM auto.bay")


def open_to_application(admin: Connection) -> None:
    """auto.bay may be read and written by the application role, under its policies."""
    admin.execute("GRANT USAGE ON SCHEMA auto, tenant_mgmt TO app_user")
    admin.execute("GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA auto TO app_user")
    admin.execute("ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY")


@contextmanager
def as_application(admin: Connection) -> Iterator[None]:
    """A transaction of the application role that works for a tenant, rolled back at its end."""
    with admin.transaction(force_rollback=True):
        admin.execute("SET LOCAL ROLE app_user")
        admin.execute("SELECT tenant_mgmt.set_tenant('00000000-0000-0000-0000-000000000001')")
        yield


def test_a_narrow_identity_takes_no_row_from_a_worker(
    emptied: Connection, admin: Connection
) -> None:
    distribute(emptied, RULES["CIT006"], RULES["CIT006"].bad[0])
    (told,) = emptied.execute(
        "SELECT min(result) FROM run_command_on_workers("
        "$$INSERT INTO auto.bay (business_id) VALUES (gen_random_uuid())$$) WHERE NOT success"
    ).fetchone() or ("",)
    assert "nextval" in told


def test_merge_into_a_table_with_a_tenants_policy_is_refused(emptied: Connection) -> None:
    distribute(emptied, RULES["CIT008"], RULES["CIT008"].bad[0])
    emptied.execute(
        "CREATE POLICY tenant_isolation ON auto.bay"
        " USING (business_id = tenant_mgmt.current_business_id())"
    )
    open_to_application(emptied)
    with as_application(emptied), pytest.raises(psycopg.Error, match=r"MERGE|Citus table"):
        emptied.execute("SELECT auto.keep()")


def test_a_trigger_is_told_the_name_of_a_shard(emptied: Connection) -> None:
    told: list[str] = []
    emptied.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
    distribute(emptied, RULES["CIT011"], RULES["CIT011"].bad[0])
    emptied.execute("INSERT INTO auto.bay VALUES (gen_random_uuid())")
    emptied.execute("UPDATE auto.bay SET business_id = business_id WHERE true")
    assert any("bay_1" in message for message in told)


@pytest.mark.parametrize(("kind", "rows"), [("good", 1), ("bad", 0)])
def test_a_tenant_that_is_not_sent_on_sees_no_row(
    kind: str, rows: int, emptied: Connection
) -> None:
    rule = RULES["CIT012"]
    (naming,) = rule.good if kind == "good" else rule.bad
    distribute(emptied, rule, f"{naming}; {BAY}")
    with emptied.transaction():
        emptied.execute("SET LOCAL ROLE app_user")
        emptied.execute("SELECT auto.work_for('00000000-0000-0000-0000-000000000001')")
        seen = emptied.execute("SELECT count(*) FROM auto.bay").fetchone()
    assert seen == (rows,)


BAY = """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
INSERT INTO auto.bay VALUES ('00000000-0000-0000-0000-000000000001');
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.bay
    USING (business_id = nullif(current_setting('app.business_id', true), '')::uuid);
GRANT USAGE ON SCHEMA auto TO app_user;
GRANT SELECT ON auto.bay TO app_user;
"""
