"""Which tenant's row is put where it does not belong, on a worker that is reached directly."""

from __future__ import annotations

import pytest

from checks.attempt import Subject
from checks.probes.cluster_worker_write import misplaced
from harness.catalog.cluster import Cluster, Copy
from harness.catalog.model import Name, Table

BAY = Name("auto", "bay")
SUBJECT = Subject(Table(BAY), "business_id", "a", "b")
CLUSTER = Cluster(
    nodes=(),
    relations=(),
    copies=(
        Copy(BAY, BAY, "first:5432"),
        Copy(BAY, Name("auto", "bay_1"), "first:5432", 1),
        Copy(BAY, BAY, "second:5432"),
        Copy(BAY, Name("auto", "bay_2"), "second:5432", 2),
    ),
)


@pytest.mark.parametrize(
    ("place", "tenant", "shard"), [("first:5432", "c", "bay_1"), ("second:5432", "a", "bay_2")]
)
def test_a_tenant_that_does_not_live_on_a_node_is_put_there(
    place: str, tenant: str, shard: str
) -> None:
    found = misplaced(CLUSTER, SUBJECT, [(1, "a"), (1, "b"), (2, "c")], place)
    assert found is not None
    assert (found[0].own, found[1].name.name) == (tenant, shard)


def test_where_all_tenants_live_on_the_one_shard_of_a_node_nobody_is_put() -> None:
    assert misplaced(CLUSTER, SUBJECT, [(1, "a"), (1, "b")], "first:5432") is None
