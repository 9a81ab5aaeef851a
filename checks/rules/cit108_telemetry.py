"""No application role reads the views in which Citus counts by tenant.

citus_stat_statements shows a role the statements of all its sessions with the key that each went
to: where tenants share a role, every tenant's id and how often it asks for what. Everybody may read
it as it comes.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.wording import listed
from harness.catalog.cluster import Cluster, Telemetry
from harness.finding import Severity

SEVERITY = Severity.WARNING
GOOD = """
SELECT run_command_on_all_nodes('REVOKE SELECT ON citus_stat_statements FROM PUBLIC');
"""
BAD = """
SELECT run_command_on_all_nodes('GRANT SELECT ON citus_stat_statements TO PUBLIC'); -- here
"""

_REVOKE = "SELECT run_command_on_all_nodes('REVOKE SELECT ON {view} FROM {roles}');"


def check(cluster: Cluster) -> Iterator[Violation]:
    by_view: dict[str, list[Telemetry]] = {}
    for seen in cluster.telemetry:
        by_view.setdefault(seen.view, []).append(seen)
    for view, found in by_view.items():
        roles = sorted({seen.role for seen in found})
        nodes = sorted({seen.node for seen in found})
        yield Violation(
            view,
            f"{view} may be read by {', '.join(roles)} on {', '.join(nodes)}",
            fix=_REVOKE.format(view=view, roles=listed("public", *roles)),
        )
