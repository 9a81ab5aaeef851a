"""A small schema on a real Citus cluster, whose coordinator HARNESS_CITUS_DSN names.

Nothing of a cluster is on a machine that has none: these tests are skipped there. The database
that the DSN names is any of the coordinator's whose nodes are known; each test makes its own.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from harness.config import Settings
from harness.db import Target, connect
from harness.deploy import citus, deploy, nodes
from harness.deploy.nodes import Node
from harness.errors import RefusedError, SchemaError
from harness.server.database import drop
from tests.integration.spares import target_of

DSN = os.environ.get("HARNESS_CITUS_DSN", "")
pytestmark = [
    pytest.mark.citus,
    pytest.mark.skipif(not DSN, reason="HARNESS_CITUS_DSN names no coordinator"),
]

_SCHEMA = """
CREATE SCHEMA shop;
CREATE FUNCTION shop.tenant() RETURNS uuid LANGUAGE sql STABLE
    RETURN nullif(current_setting('app.business_id', true), '')::uuid;
CREATE TABLE shop.business (business_id uuid PRIMARY KEY);
CREATE TABLE shop.item (business_id uuid NOT NULL, item_id uuid, total int NOT NULL DEFAULT 0,
    last_id uuid, PRIMARY KEY (business_id, item_id),
    FOREIGN KEY (business_id) REFERENCES shop.business);
ALTER TABLE shop.item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON shop.item USING (business_id = shop.tenant());
CREATE TABLE shop.sale (business_id uuid NOT NULL, sale_id uuid, item_id uuid, at date NOT NULL,
    PRIMARY KEY (business_id, sale_id, at),
    FOREIGN KEY (business_id, item_id) REFERENCES shop.item (business_id, item_id))
    PARTITION BY RANGE (at);
CREATE TABLE shop.sale_default PARTITION OF shop.sale DEFAULT;
CREATE FUNCTION shop.sold(tenant uuid, item uuid) RETURNS bigint LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT count(*) FROM shop.sale AS s WHERE s.business_id = tenant AND s.item_id = item;
END;
CREATE TABLE shop.part (business_id uuid NOT NULL, part_id uuid,
    PRIMARY KEY (business_id, part_id));
ALTER TABLE shop.item ADD FOREIGN KEY (business_id, last_id)
    REFERENCES shop.part (business_id, part_id);
CREATE TABLE shop.country (code text PRIMARY KEY);
"""
_TOTALS = """
CREATE TABLE shop.note (business_id uuid NOT NULL, note_id uuid DEFAULT gen_random_uuid(),
    sale_id uuid, PRIMARY KEY (business_id, note_id));
CREATE VIEW shop.sold_item WITH (security_invoker = true) AS
    SELECT business_id, item_id, count(*) AS sales FROM shop.sale GROUP BY business_id, item_id;
CREATE FUNCTION shop.count_sales() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM shop.item WHERE (item.business_id, item.item_id)
        IN (SELECT c.business_id, c.item_id FROM changed AS c) FOR NO KEY UPDATE;
    UPDATE shop.item AS i SET total = s.sales
    FROM changed AS c JOIN shop.sold_item AS s USING (business_id, item_id)
    WHERE i.business_id = c.business_id AND i.item_id = c.item_id;
    INSERT INTO shop.note (business_id, sale_id)
    SELECT c.business_id, c.sale_id FROM changed AS c
    WHERE NOT EXISTS (SELECT FROM shop.note AS n
                      WHERE n.business_id = c.business_id AND n.sale_id = c.sale_id);
    RETURN NULL;
END $$;
CREATE TRIGGER counted AFTER INSERT ON shop.sale REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION shop.count_sales();
CREATE FUNCTION shop.tell(i shop.item) RETURNS text LANGUAGE plpgsql AS $$
BEGIN RETURN i.item_id; END $$;
CREATE FUNCTION shop.tell_items() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM shop.tell(i) FROM changed AS c JOIN shop.item AS i USING (business_id, item_id);
    RETURN NULL;
END $$;
CREATE TRIGGER told AFTER INSERT ON shop.sale REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION shop.tell_items();
ALTER TABLE shop.sale ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON shop.sale USING (business_id = shop.tenant());
GRANT USAGE ON SCHEMA shop TO app_user;
GRANT SELECT, INSERT, UPDATE ON shop.item, shop.sale, shop.note TO app_user;
GRANT SELECT ON shop.sold_item TO app_user;
"""
_LATER = "CREATE VIEW shop.sales WITH (security_invoker = true) AS SELECT * FROM shop.sale;\n"


@pytest.fixture
def workers() -> list[Node]:
    with connect(DSN) as connection:
        query = "SELECT nodename, nodeport FROM pg_dist_node WHERE groupid <> 0 AND isactive"
        return [Node(*row) for row in connection.execute(query)]


@pytest.fixture
def cluster(settings: Settings, workers: list[Node]) -> Iterator[Target]:
    name = f"harness_citus_{uuid.uuid4().hex[:8]}"
    here = make_conninfo(DSN, dbname=name)
    maintenance = [make_conninfo(DSN, dbname="postgres")]
    maintenance += [make_conninfo(nodes.dsn_of(DSN, w), dbname="postgres") for w in workers]
    with connect(maintenance[0], autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield target_of(here, settings)
    for each in maintenance:
        drop(each, name)


@pytest.fixture
def shop(settings: Settings, tmp_path: Path) -> Settings:
    (tmp_path / "10_shop.sql").write_text(_SCHEMA, encoding="utf-8")
    (tmp_path / "20_later.sql").write_text(_LATER, encoding="utf-8")
    tenancy = settings.tenancy.model_copy(update={"root_table": "shop.business"})
    return settings.model_copy(update={"schema_dir": tmp_path, "tenancy": tenancy})


def _kinds(database: Target) -> dict[str, tuple[str, int]]:
    with psycopg.connect(database.admin) as connection:
        rows = connection.execute(
            "SELECT logicalrelid::text, partmethod::text, colocationid FROM pg_dist_partition"
        ).fetchall()
    return {name: (kind, group) for name, kind, group in rows}


def test_tables_are_distributed_in_one_group_and_the_second_time_nothing_is_done(
    cluster: Target, shop: Settings, workers: list[Node]
) -> None:
    assert citus.deploy(cluster, shop, workers, shards=2).changed
    kinds = _kinds(cluster)
    assert kinds.pop("shop.country")[0] == "n"
    assert set(kinds) == {f"shop.{t}" for t in ("business", "item", "sale", "sale_default", "part")}
    assert len(set(kinds.values())) == 1
    assert not citus.deploy(cluster, shop, workers).changed
    for node in (cluster.admin, *(nodes.dsn_of(cluster.admin, worker) for worker in workers)):
        with psycopg.connect(node) as connection:
            found = connection.execute(
                "SELECT has_table_privilege(%s, 'citus_stat_statements', 'SELECT')",
                [shop.roles.app],
            )
            assert found.fetchone() == (False,), node


def test_a_deployment_goes_on_where_it_stopped(
    cluster: Target, shop: Settings, workers: list[Node]
) -> None:
    later = shop.schema_dir / "20_later.sql"
    later.write_text("CREATE VIEW shop.wrong AS SELECT * FROM shop.nothing;", encoding="utf-8")
    with pytest.raises(SchemaError, match=r"^20_later\.sql:1: .*does not exist"):
        citus.deploy(cluster, shop, workers, shards=2)
    with pytest.raises(RefusedError, match="--citus"):
        deploy.deploy(cluster, shop)
    later.write_text(_LATER, encoding="utf-8")
    assert citus.deploy(cluster, shop, workers, shards=2).statements == 1


def test_a_function_answers_with_its_parameters(
    cluster: Target, shop: Settings, workers: list[Node]
) -> None:
    citus.deploy(cluster, shop, workers, shards=2)
    with psycopg.connect(cluster.admin) as connection:
        tenant, item = uuid.uuid4(), uuid.uuid4()
        connection.execute("INSERT INTO shop.business VALUES (%s)", [tenant])
        connection.execute("INSERT INTO shop.item VALUES (%s, %s)", [tenant, item])
        sale = "INSERT INTO shop.sale VALUES (%s, %s, %s, '2026-01-01')"
        connection.execute(sale, [tenant, uuid.uuid4(), item])
        assert connection.execute("SELECT shop.sold(%s, %s)", [tenant, item]).fetchone() == (1,)


def test_a_trigger_keeps_totals_by_the_rows_that_a_statement_changed(
    cluster: Target, shop: Settings, workers: list[Node]
) -> None:
    (shop.schema_dir / "30_totals.sql").write_text(_TOTALS, encoding="utf-8")
    deployed = citus.deploy(cluster, shop, workers, shards=4)
    assert [line.partition(" (")[0] for line in deployed.left_out] == ["30_totals.sql:28: left out"]
    tenants = [uuid.uuid4() for _ in range(8)]
    item, day = uuid.uuid4(), "2026-01-01"
    rows = [(tenant, uuid.uuid4(), item, day) for tenant in tenants for _ in range(3)]
    with psycopg.connect(cluster.admin) as connection, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO shop.business VALUES (%s)", [(t,) for t in tenants])
        cursor.executemany("INSERT INTO shop.item VALUES (%s, %s)", [(t, item) for t in tenants])
        with cursor.copy("COPY shop.sale FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    with psycopg.connect(cluster.app) as connection:
        connection.execute("SET LOCAL citus.propagate_set_commands = 'local'")
        connection.execute(f"SET LOCAL app.business_id = '{tenants[0]}'".encode())
        sale = "INSERT INTO shop.sale VALUES (%s, %s, %s, '2026-01-01')"
        connection.execute(sale, [tenants[0], uuid.uuid4(), item])
    with psycopg.connect(cluster.admin) as connection:
        totals = connection.execute("SELECT business_id, total FROM shop.item").fetchall()
        notes = connection.execute("SELECT count(*) FROM shop.note").fetchone()
    assert dict(totals) == dict.fromkeys(tenants, 3) | {tenants[0]: 4}
    assert notes == (len(rows) + 1,)


def test_a_plain_deployment_is_told_from_one_to_a_cluster(
    server: Target, settings: Settings, shop: Settings, database: Target
) -> None:
    deploy.deploy(database, shop)
    with pytest.raises(RefusedError, match="without --citus"):
        citus.deploy(database, shop)


_CALLED = """
CREATE FUNCTION shop.sold_of(item uuid) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO shop.part (business_id, part_id) VALUES (shop.tenant(), item);
    RETURN (SELECT count(s.sale_id)
            FROM shop.item AS i
            LEFT JOIN shop.sale AS s ON s.business_id = i.business_id AND s.item_id = i.item_id
            WHERE i.business_id = shop.tenant() AND i.item_id = item);
END $$;
GRANT USAGE ON SCHEMA shop TO app_user;
GRANT SELECT ON shop.business TO app_user;
GRANT SELECT, INSERT, DELETE ON shop.item, shop.sale, shop.part TO app_user;
ALTER TABLE shop.sale ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON shop.sale USING (business_id = shop.tenant());
"""


@pytest.fixture
def called(
    cluster: Target, shop: Settings, workers: list[Node]
) -> tuple[Target, list[uuid.UUID], uuid.UUID]:
    """Functions that are deployed, and six tenants with an item and a sale of it each."""
    (shop.schema_dir / "30_called.sql").write_text(_CALLED, encoding="utf-8")
    tenancy = shop.tenancy.model_copy(update={"current_tenant": "shop.tenant()"})
    citus.deploy(cluster, shop.model_copy(update={"tenancy": tenancy}), workers, shards=2)
    tenants, item = [uuid.uuid4() for _ in range(6)], uuid.uuid4()
    with psycopg.connect(cluster.admin) as connection:
        for tenant in tenants:
            connection.execute("INSERT INTO shop.business VALUES (%s)", [tenant])
            connection.execute("INSERT INTO shop.item VALUES (%s, %s)", [tenant, item])
            sale = "INSERT INTO shop.sale VALUES (%s, %s, %s, '2026-01-01')"
            connection.execute(sale, [tenant, uuid.uuid4(), item])
    return cluster, tenants, item


def _as_tenant(connection: psycopg.Connection, tenant: uuid.UUID) -> None:
    connection.execute("SET citus.propagate_set_commands = 'local'")
    connection.commit()
    connection.execute(sql.SQL("SET LOCAL app.business_id = {}").format(str(tenant)))


_ASK = "SELECT shop.sold_of(i.item_id) FROM shop.item AS i WHERE i.business_id = %s"


def test_a_function_that_is_called_on_a_shard_makes_its_queries_there(
    called: tuple[Target, list[uuid.UUID], uuid.UUID],
) -> None:
    cluster, tenants, _ = called
    with psycopg.connect(cluster.app) as connection:
        for number, tenant in enumerate(tenants):
            _as_tenant(connection, tenant)
            assert connection.execute(_ASK, [tenant]).fetchall() == [(1,)]
            found = connection.execute("SELECT count(*) FROM shop.part").fetchall()
            assert found == [(1,)], number
            connection.rollback()


def test_a_function_that_is_called_for_another_tenant_finds_nothing(
    called: tuple[Target, list[uuid.UUID], uuid.UUID],
) -> None:
    cluster, (mine, *others), item = called
    with psycopg.connect(cluster.app) as connection:
        _as_tenant(connection, mine)
        for other in others:
            for ask in (
                "SELECT shop.sold(%s, %s)",
                f"SELECT shop.sold(%s, %s) FROM shop.item WHERE business_id = '{mine}'",
            ):
                assert connection.execute(ask.encode(), [other, item]).fetchall() == [(0,)]
            assert connection.execute(_ASK, [other]).fetchall() == []


def test_functions_go_with_a_shard_that_is_moved_and_keep_it_until_then(
    called: tuple[Target, list[uuid.UUID], uuid.UUID],
) -> None:
    cluster, (tenant, *_), _ = called
    with (
        psycopg.connect(cluster.admin, autocommit=True) as admin,
        psycopg.connect(cluster.app) as connection,
    ):
        _as_tenant(connection, tenant)
        assert connection.execute(_ASK, [tenant]).fetchall() == [(1,)]
        admin.execute("SET statement_timeout = '1500ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            admin.execute(_MOVE, [tenant])
        connection.commit()
        admin.execute("RESET statement_timeout")
        admin.execute(_MOVE, [tenant])
        _as_tenant(connection, tenant)
        count = "SELECT count(*) FROM shop.part WHERE business_id = %s"
        assert connection.execute(count, [tenant]).fetchall() == [(1,)]
        sold = "SELECT shop.sold(i.business_id, i.item_id) FROM shop.item AS i"
        connection.execute("DELETE FROM shop.sale WHERE business_id = %s", [tenant])
        found = connection.execute(f"{sold} WHERE i.business_id = %s".encode(), [tenant])
        assert found.fetchall() == [(0,)]


_MOVE = """
SELECT citus_move_shard_placement(s.shardid, h.nodename, h.nodeport, o.nodename, o.nodeport)
FROM (SELECT get_shard_id_for_distribution_column('shop.item', %s) AS shardid) AS s
JOIN pg_dist_placement AS p USING (shardid)
JOIN pg_dist_node AS h ON h.groupid = p.groupid
JOIN pg_dist_node AS o ON o.groupid NOT IN (0, h.groupid)
"""
