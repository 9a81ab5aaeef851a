"""Row security is as on and as forced in every shard as the coordinator says.

The coordinator's catalog says what was asked for, and each shard's what is done: queries are
planned without row security on the coordinator, and whoever reads a shard that has none reads all
tenants. The owner of a table can switch it off for one shard alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.copies import told
from checks.rule import Violation
from checks.wording import qualified
from harness.catalog.cluster import Cluster, Copy, Relation
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SELECT create_distributed_table('auto.bay', 'business_id', colocate_with => 'tenant_mgmt.business');
"""
BAD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SELECT create_distributed_table('auto.bay', 'business_id', colocate_with => 'tenant_mgmt.business');
SELECT run_command_on_shards('auto.bay', 'ALTER TABLE %s DISABLE ROW LEVEL SECURITY'); -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SELECT create_distributed_table('auto.bay', 'business_id', colocate_with => 'tenant_mgmt.business');
SELECT run_command_on_shards('auto.bay', 'ALTER TABLE %s NO FORCE ROW LEVEL SECURITY'); -- here
""",
)


def check(cluster: Cluster) -> Iterator[Violation]:
    for relation, copies in cluster.copies_of():
        for word, differing in _differing(relation, copies).items():
            yield Violation(
                str(relation.name),
                f"row security of {relation.name} is {word} in {len(differing)} of {len(copies)}"
                f" copies: {told(differing)}",
                fix=f"ALTER TABLE {qualified(relation.name)} {_switches(relation)};",
            )


def _differing(relation: Relation, copies: tuple[Copy, ...]) -> dict[str, list[Copy]]:
    """Copies by what is otherwise in them."""
    promised = relation.protection
    found: dict[str, list[Copy]] = {}
    for copy in copies:
        held = copy.protection
        if held is None:
            continue
        if held.row_security != promised.row_security:
            found.setdefault("on" if held.row_security else "off", []).append(copy)
        elif held.force_row_security != promised.force_row_security:
            found.setdefault("forced" if held.force_row_security else "not forced", []).append(copy)
    return found


def _switches(relation: Relation) -> str:
    """What the coordinator has, said once more, which it says to every copy."""
    promised = relation.protection
    enabled = "ENABLE" if promised.row_security else "DISABLE"
    forced = "FORCE" if promised.force_row_security else "NO FORCE"
    return f"{enabled} ROW LEVEL SECURITY, {forced} ROW LEVEL SECURITY"
