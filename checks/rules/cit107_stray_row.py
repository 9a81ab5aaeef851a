"""Every row lies in the shard that its tenant hashes to.

Whoever writes a shard directly can put any tenant's row into it, and Citus does not look again. The
tenant's own queries go to the right shard and never find the row; those of all shards count it, and
a second row of the same key may stand in the right one.
"""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from checks.copies import told
from checks.rule import Violation
from harness.catalog.cluster import Cluster, Copy, Relation
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
SELECT create_distributed_table('auto.bay', 'business_id', colocate_with => 'tenant_mgmt.business');
INSERT INTO auto.bay VALUES ('00000000-0000-0000-0000-000000000001');
"""
BAD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
SELECT create_distributed_table('auto.bay', 'business_id', colocate_with => 'tenant_mgmt.business');
SELECT run_command_on_shards('auto.bay', $$ -- here
    INSERT INTO %s VALUES ('00000000-0000-0000-0000-000000000001')$$);
"""

_MOVE = """BEGIN;
CREATE TEMP TABLE stray ON COMMIT DROP AS SELECT * FROM {shard} WHERE {astray};
DELETE FROM {shard} WHERE {astray};
INSERT INTO {table} SELECT * FROM stray;
COMMIT;"""


def check(cluster: Cluster) -> Iterator[Violation]:
    for relation, copies in cluster.copies_of():
        strayed = [copy for copy in copies if copy.strayed]
        if strayed:
            yield Violation(
                str(relation.name),
                f"{sum(copy.strayed for copy in strayed)} rows of {relation.name} lie in shards of"
                f" other tenants: {told(strayed)}",
                fix="\n".join(_fix(relation, copy) for copy in strayed),
            )


def _fix(relation: Relation, copy: Copy) -> str:
    """On the node itself: the rows are taken out of the shard and sent where they belong."""
    spread, hashes = relation.distribution, copy.hashes
    if spread is None or spread.column is None or hashes is None:
        return ""
    key, least, most = sql.Identifier(spread.column), *map(sql.Literal, hashes)
    astray = sql.SQL("worker_hash({}) NOT BETWEEN {} AND {}").format(key, least, most)
    moved = sql.SQL(_MOVE).format(
        shard=copy.name.identifier, table=relation.name.identifier, astray=astray
    )
    return f"-- on {copy.node}\n{moved.as_string()}"
