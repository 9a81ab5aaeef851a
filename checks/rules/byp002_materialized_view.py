"""No role but its owner's may read a materialized view.

A materialized view holds the rows of all tenants and cannot have row security. Applications
read it through a view that filters on the tenant.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from checks.wording import qualified, quoted
from harness.catalog.model import Catalog
from harness.config import Roles
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
CREATE MATERIALIZED VIEW auto.bay_count AS
    SELECT business_id, count(*) AS bays FROM auto.bay GROUP BY business_id WITH NO DATA;
GRANT SELECT ON auto.bay_count TO matview_owner;
"""
BAD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
CREATE MATERIALIZED VIEW auto.bay_count AS
    SELECT business_id, count(*) AS bays FROM auto.bay GROUP BY business_id WITH NO DATA;
GRANT SELECT ON auto.bay_count TO app_user; -- here
"""


def check(catalog: Catalog, roles: Roles) -> Iterator[Violation]:
    allowed = (roles.owner, roles.matview_owner, roles.loader)
    for view in catalog.views.values():
        for grant in view.grants if view.materialized else ():
            if grant.role not in allowed:
                yield Violation(
                    str(view.name),
                    f"materialized view {view.name} is granted to {grant.role}",
                    grant.location,
                    f"REVOKE ALL ON {qualified(view.name)} FROM {quoted(grant.role)};",
                )
