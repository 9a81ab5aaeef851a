"""The proof after a deployment, on a real cluster: each fault is planted, found, and mended by its
own SQL. HARNESS_CITUS_DSN names the coordinator."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from psycopg.conninfo import make_conninfo

from checks import cluster, isolation
from checks.rule import Rule
from harness.config import Settings
from harness.db import Connection, Target, connect
from harness.finding import Finding
from tests.integration import citus_cluster
from tests.recorded_clusters import examples

pytestmark = pytest.mark.citus

BAY = "auto.bay"
SHOP = """
GRANT USAGE ON SCHEMA tenant_mgmt, auto TO app_user;
GRANT SELECT, INSERT ON tenant_mgmt.business TO app_user;
CREATE TABLE auto.bay (
    business_id uuid NOT NULL REFERENCES tenant_mgmt.business,
    bay_id bigint GENERATED ALWAYS AS IDENTITY,
    label text GENERATED ALWAYS AS ('bay') STORED,
    PRIMARY KEY (business_id, bay_id)
);
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.bay
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
SELECT create_distributed_table('auto.bay', 'business_id', colocate_with => 'tenant_mgmt.business');
INSERT INTO tenant_mgmt.business
SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid FROM generate_series(1, 8) AS n;
INSERT INTO auto.bay (business_id) SELECT business_id FROM tenant_mgmt.business;
"""
REMEMBERING = """
CREATE OR REPLACE FUNCTION tenant_mgmt.current_business_id() RETURNS uuid
    LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF coalesce(current_setting('app.business_id', true), '') <> '' THEN
        PERFORM set_config('app.kept', current_setting('app.business_id'), false);
    END IF;
    RETURN nullif(current_setting('app.kept', true), '')::uuid;
END $$;
"""
FORGETFUL = """
CREATE OR REPLACE FUNCTION tenant_mgmt.current_business_id() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN current_setting('app.business_id')::uuid;
"""


@pytest.fixture(scope="module")
def own() -> Iterator[str]:
    """A database that spans the cluster, with what examples take for granted."""
    with citus_cluster.database(citus_cluster.dsn()) as made:
        with connect(made, autocommit=True) as admin:
            citus_cluster.prepare(admin)
        yield made


@pytest.fixture(scope="module")
def target(own: str, settings: Settings) -> Iterator[Target]:
    with citus_cluster.target(own, settings) as found:
        yield found


@pytest.fixture(scope="module")
def admin(own: str) -> Iterator[Connection]:
    with connect(own, autocommit=True) as connection:
        yield connection


@pytest.fixture
def emptied(admin: Connection) -> Iterator[Connection]:
    """The schema auto is the test's own."""
    yield admin
    citus_cluster.clean(admin)


@pytest.fixture(scope="module")
def shop(admin: Connection) -> Iterator[Connection]:
    """Eight tenants with a row each, in the table auto.bay."""
    citus_cluster.send(admin, SHOP)
    yield admin
    citus_cluster.clean(admin)


def judged(admin: Connection, settings: Settings) -> list[Finding]:
    return list(cluster.judge(citus_cluster.seen(admin, settings), settings))


def mend(own: str, fix: str) -> None:
    """Runs a fix as it says: on the coordinator, or what stands below `-- on` a node there."""
    for part in re.split(r"^(?=-- on )", fix, flags=re.MULTILINE):
        place = re.match(r"-- on (.*):(\d+)\n", part)
        where = make_conninfo(own, host=place[1], port=place[2]) if place else own
        with connect(where, autocommit=True) as connection:
            citus_cluster.send(connection, part)


@pytest.mark.parametrize(
    ("rule", "name", "example"), [pytest.param(*each, id=each[1]) for each in examples()]
)
def test_an_example_is_found_and_its_fix_mends_it(
    rule: Rule, name: str, example: str, emptied: Connection, own: str, settings: Settings
) -> None:
    citus_cluster.send(emptied, example)
    found = judged(emptied, settings)
    assert [finding.rule for finding in found] == ([rule.id] if "_bad_" in name else [])
    mendable = [finding for finding in found if finding.fix and rule.id != "CIT106"]
    for finding in mendable:
        mend(own, finding.fix)
    assert not mendable or judged(emptied, settings) == []


def probed(target: Target, settings: Settings) -> dict[str, set[str]]:
    """Verdicts by probe."""
    _, found = cluster.examine(target, settings)
    verdicts: dict[str, set[str]] = {}
    for result in isolation.check_cluster(target, settings, found, _name(target)):
        verdicts.setdefault(result.probe, set()).add(result.verdict)
    return verdicts


def _name(target: Target) -> str:
    with connect(target.admin) as connection:
        return connection.info.dbname


def test_sessions_see_nothing_of_others(
    shop: Connection, target: Target, settings: Settings
) -> None:
    assert probed(target, settings) == {
        "cluster_no_tenant": {"held"},
        "cluster_left_over": {"held"},
        "cluster_worker": {"held"},
        "cluster_worker_write": {"noted"},
    }


def test_a_shard_without_row_security_is_read_by_nobody_and_by_others(
    shop: Connection, target: Target, settings: Settings
) -> None:
    _on_one_shard(shop, "DISABLE ROW LEVEL SECURITY")
    verdicts = probed(target, settings)
    _on_one_shard(shop, "ENABLE ROW LEVEL SECURITY")
    assert "leak" in verdicts["cluster_no_tenant"]
    assert "leak" in verdicts["cluster_worker"]


def _on_one_shard(admin: Connection, action: str) -> None:
    """ALTER TABLE of the shard of auto.bay that has most rows, on its node."""
    command = f"""SELECT run_command_on_shards('auto.bay', $$DO $do$ BEGIN
        IF (SELECT count(*) FROM %1$s) > 1 THEN ALTER TABLE %1$s {action}; END IF;
    END $do$ $$)"""
    admin.execute(command.encode())


def test_a_tenant_that_stays_on_the_workers_is_noticed(
    shop: Connection, target: Target, settings: Settings
) -> None:
    citus_cluster.send(shop, REMEMBERING)
    verdicts = probed(target, settings)
    citus_cluster.send(shop, FORGETFUL)
    assert verdicts["cluster_left_over"] == {"leak"}
