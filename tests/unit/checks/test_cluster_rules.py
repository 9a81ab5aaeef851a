"""Rules on Citus clusters, judged on clusters that were recorded after their examples were run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from checks import cluster
from checks.rule import Rule
from harness.catalog.cluster import Cluster, Copy, Protection
from harness.catalog.model import Policy
from harness.config import Settings
from harness.finding import Finding
from tests.recorded_clusters import examples, recorded

SOUND = recorded("cit104_good_0").cluster
"""tenant_mgmt.business and auto.bay, four shards each on two workers, both protected."""
BAY = "auto.bay"


def find(found: Cluster, settings: Settings) -> list[Finding]:
    return list(cluster.judge(found, settings))


def with_shard(change: Callable[[Copy], Copy]) -> Cluster:
    """The sound cluster with one shard of auto.bay changed."""
    (first, *_) = [c for c in SOUND.copies if c.shard and str(c.relation) == BAY]
    copies = tuple(change(c) if c is first else c for c in SOUND.copies)
    return replace(SOUND, copies=copies)


def with_policy(copy: Copy, **changed: Any) -> Copy:
    assert copy.protection
    (policy,) = copy.protection.policies
    held = replace(copy.protection, policies=(replace(policy, **changed),))
    return replace(copy, protection=held)


@pytest.mark.parametrize(
    ("rule", "name", "example"), [pytest.param(*each, id=each[1]) for each in examples()]
)
def test_a_bad_example_breaks_its_rule_and_a_good_one_none(
    rule: Rule, name: str, example: str, settings: Settings
) -> None:
    kept = recorded(name)
    assert kept.example == example, "run tests/integration/citus_cluster.py to record it anew"
    found = [finding.rule for finding in find(kept.cluster, settings)]
    assert found == ([rule.id] if "_bad_" in name else [])


def test_row_security_that_is_off_in_one_shard_of_all_is_found(settings: Settings) -> None:
    (finding,) = find(with_shard(lambda c: replace(c, protection=_off(c))), settings)
    assert (finding.rule, finding.object) == ("CIT103", BAY)
    assert "is off in 1 of 6 copies: auto.bay_1" in finding.message
    assert finding.fix == (
        "ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
    )


def _off(copy: Copy) -> Protection:
    assert copy.protection
    return replace(copy.protection, row_security=False)


@pytest.mark.parametrize(
    ("changed", "how"),
    [
        ({"using": "true"}, "has another using in 1"),
        ({"check": "true"}, "has another check in 1"),
        ({"command": "select"}, "has another command in 1"),
        ({"roles": ("app_user",)}, "has another roles in 1"),
        ({"permissive": False}, "is restrictive in 1"),
        ({"using": "true", "command": "select"}, "has another command and using in 1"),
    ],
)
def test_each_part_of_a_policy_is_compared(
    changed: dict[str, object], how: str, settings: Settings
) -> None:
    (finding,) = find(with_shard(lambda copy: with_policy(copy, **changed)), settings)
    assert finding.rule == "CIT104"
    assert f"policy tenant_isolation on auto.bay {how} of 6 copies" in finding.message


def test_a_policy_is_mended_on_shards_with_its_percent_signs_kept(settings: Settings) -> None:
    """run_command_on_placements() reads %s as the shard's name."""
    policy = Policy("p", roles=("Ops",), using="name ~~ 'a%'::text")
    mended = replace(
        SOUND,
        relations=tuple(
            replace(r, protection=replace(r.protection, policies=(policy,)))
            if str(r.name) == BAY
            else r
            for r in SOUND.relations
        ),
    )
    missing = next(
        f for f in find(mended, settings) if "policy p on auto.bay is missing" in f.message
    )
    assert missing.fix.splitlines()[1] == (
        "SELECT run_command_on_placements('auto.bay', 'CREATE POLICY p ON %s FOR ALL"
        " TO \"Ops\" USING (name ~~ ''a%%''::text)');"
    )


def test_a_node_that_says_nothing_is_found_and_nothing_is_said_of_its_shards(
    settings: Settings,
) -> None:
    *others, last = SOUND.nodes
    silent = replace(last, error="could not connect")
    copies = tuple(replace(c, protection=None) if c.node == last.place else c for c in SOUND.copies)
    found = replace(
        SOUND, nodes=(*others, silent), copies=copies, unreachable=((last.place, "x:1"),)
    )
    assert [f.message for f in find(found, settings)] == [
        f"node {last.place} does not tell its catalog: could not connect",
        f"node {last.place} cannot connect to x:1",
    ]


def test_a_table_that_tenants_share_may_be_a_reference_table(settings: Settings) -> None:
    spread = recorded("cit101_bad_2").cluster
    shared = settings.tenancy.model_copy(update={"shared_tables": (BAY,)})
    assert find(spread, settings.model_copy(update={"tenancy": shared})) == []
