"""The proof after a deployment, on a real cluster: each fault is planted, found, and mended by its
own SQL. HARNESS_CITUS_DSN names the coordinator."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from psycopg.conninfo import make_conninfo

from checks import cluster, isolation
from checks.probe import registry
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


def surveyed(target: Target, settings: Settings, probe: str) -> dict[str, tuple[str, str]]:
    """Verdicts and what was seen, by object."""
    survey = registry()[probe].survey
    assert survey is not None
    with isolation.ground(target, settings, _name(target)) as ground:
        return {result.object: (result.verdict, result.detail) for result in survey(ground)}


TELLING = """
CREATE FUNCTION auto.count_bays() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = auto AS $$ BEGIN RETURN (SELECT count(*) FROM auto.bay); END $$;
CREATE FUNCTION auto.own_bays() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = auto AS $$
BEGIN
    RETURN (SELECT count(*) FROM auto.bay
            WHERE business_id = current_setting('app.business_id')::uuid);
END $$;
"""
SILENT = "DROP FUNCTION auto.count_bays(); DROP FUNCTION auto.own_bays()"


def test_what_a_definer_tells_of_others_is_seen_where_their_rows_are(
    shop: Connection, target: Target, settings: Settings
) -> None:
    citus_cluster.send(shop, TELLING)
    found = surveyed(target, settings, "function")
    citus_cluster.send(shop, SILENT)
    assert found["auto.count_bays()"][0] == "leak"
    same = "answers the same without the rows of the other tenant"
    assert found["auto.own_bays()"] == ("held", same)


NOTIFYING = """
SET citus.enable_unsafe_triggers = on;
CREATE FUNCTION auto.tell_bay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_notify('bays', coalesce(NEW, OLD)::text); RETURN NULL; END $$;
CREATE TRIGGER told AFTER INSERT OR UPDATE OR DELETE ON auto.bay
    FOR EACH ROW EXECUTE FUNCTION auto.tell_bay();
"""


def test_notifications_are_heard_on_the_node_that_sends_them(
    shop: Connection, target: Target, settings: Settings
) -> None:
    citus_cluster.send(shop, NOTIFYING)
    found = surveyed(target, settings, "notification")
    citus_cluster.send(shop, "DROP FUNCTION auto.tell_bay() CASCADE")
    assert found[BAY] == ("weak", "every role hears values of another tenant's row")


def test_a_view_that_nobody_can_ask_for_all_is_asked_for_the_other_tenants_rows(
    shop: Connection, target: Target, settings: Settings
) -> None:
    citus_cluster.send(
        shop,
        """
        CREATE VIEW auto.bay_now WITH (security_invoker = true) AS
            SELECT b.business_id, b.bay_id, t.at
            FROM auto.bay AS b CROSS JOIN (SELECT now()) AS t (at);
        GRANT SELECT ON auto.bay_now TO app_user
        """,
    )
    found = surveyed(target, settings, "view")
    citus_cluster.send(shop, "DROP VIEW auto.bay_now")
    assert found["auto.bay_now"] == ("held", "shows own rows only")
