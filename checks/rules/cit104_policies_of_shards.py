"""Every copy of a table has the coordinator's policies, each as it is there.

Name, permissive or restrictive, command, roles, USING and WITH CHECK are compared. Citus makes a
RESTRICTIVE policy a permissive one on shards, where it opens what it should close; a policy that
somebody changed on one shard is seen nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields

from checks.copies import on_shards, told
from checks.restrictive import folded
from checks.rule import Violation
from checks.wording import quoted
from harness.catalog.cluster import Cluster, Copy, Protection, Relation
from harness.catalog.model import Policy
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.bay
    USING (business_id = tenant_mgmt.current_business_id());
SELECT create_distributed_table('auto.bay', 'business_id', colocate_with => 'tenant_mgmt.business');
"""
BAD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, is_secret boolean);
CREATE POLICY tenant_isolation ON auto.bay
    USING (business_id = tenant_mgmt.current_business_id());
CREATE POLICY not_secret ON auto.bay AS RESTRICTIVE USING (NOT is_secret); -- here
SELECT create_distributed_table('auto.bay', 'business_id', colocate_with => 'tenant_mgmt.business');
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
CREATE POLICY tenant_isolation ON auto.bay
    USING (business_id = tenant_mgmt.current_business_id());
SELECT create_distributed_table('auto.bay', 'business_id', colocate_with => 'tenant_mgmt.business');
SELECT run_command_on_shards('auto.bay', -- here
    'ALTER POLICY tenant_isolation ON %s USING (true)');
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
CREATE POLICY tenant_isolation ON auto.bay
    USING (business_id = tenant_mgmt.current_business_id());
SELECT create_distributed_table('auto.bay', 'business_id', colocate_with => 'tenant_mgmt.business');
SELECT run_command_on_shards('auto.bay', 'CREATE POLICY support ON %s USING (true)'); -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
CREATE POLICY tenant_isolation ON auto.bay
    USING (business_id = tenant_mgmt.current_business_id());
SELECT create_distributed_table('auto.bay', 'business_id', colocate_with => 'tenant_mgmt.business');
SELECT run_command_on_shards('auto.bay', 'DROP POLICY tenant_isolation ON %s'); -- here
""",
)


def check(cluster: Cluster) -> Iterator[Violation]:
    for relation, copies in cluster.copies_of():
        promised = _by_name(relation.protection)
        for (name, how), differing in _differing(promised, copies).items():
            yield Violation(
                str(relation.name),
                f"policy {name} on {relation.name} {how} in {len(differing)} of {len(copies)}"
                f" copies: {told(differing)}",
                fix=_fix(relation, promised.get(name), name),
            )


def _by_name(protection: Protection) -> Mapping[str, Policy]:
    return {policy.name: policy for policy in protection.policies}


def _differing(
    promised: Mapping[str, Policy], copies: tuple[Copy, ...]
) -> dict[tuple[str, str], list[Copy]]:
    """Copies by the policy that is otherwise in them, and how."""
    found: dict[tuple[str, str], list[Copy]] = {}
    for copy in copies:
        held = _by_name(copy.protection) if copy.protection else promised
        for name in sorted(promised.keys() | held.keys()):
            how = _difference(promised.get(name), held.get(name))
            if how:
                found.setdefault((name, how), []).append(copy)
    return found


def _difference(promised: Policy | None, held: Policy | None) -> str:
    if held is None:
        return "is missing"
    if promised is None:
        return "is not the coordinator's"
    if promised.permissive and not held.permissive:
        return "is restrictive"
    if held.permissive and not promised.permissive:
        return "is permissive"
    names = [f.name for f in fields(Policy) if getattr(promised, f.name) != getattr(held, f.name)]
    return f"has another {' and '.join(names)}" if names else ""


def _fix(relation: Relation, promised: Policy | None, name: str) -> str:
    dropped = on_shards(relation.name, f"DROP POLICY IF EXISTS {quoted(name)} ON {{shard}}")
    if promised is None:
        return dropped
    if not promised.permissive:
        return folded(relation.name, relation.protection.policies, promised)
    return f"{dropped}\n{on_shards(relation.name, _created(promised))}"


def _created(policy: Policy) -> str:
    """The statement that makes a permissive policy on a shard."""
    roles = [role if role == "public" else quoted(role) for role in policy.roles]
    parts = [
        f"CREATE POLICY {quoted(policy.name)} ON {{shard}} FOR {policy.command.upper()}",
        f"TO {', '.join(roles)}",
        f"USING ({policy.using})" if policy.using else "",
        f"WITH CHECK ({policy.check})" if policy.check else "",
    ]
    return " ".join(filter(None, parts))
