"""A view reads with the rights of whoever asks.

Without security_invoker it reads with the rights of its owner, and an owner that row security
does not bind shows every tenant. The one exception is the view that publishes a materialized
view, which has no row security of its own: it reads nothing else, is a security barrier, and
says in its WHERE which tenant each of them shows.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.publishing import publishes
from checks.rule import Violation
from checks.wording import qualified
from harness.catalog.model import Catalog
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
CREATE VIEW auto.free_bay WITH (security_invoker = true) AS SELECT bay_id FROM auto.bay;
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
CREATE MATERIALIZED VIEW auto.bay_count AS
    SELECT business_id, count(*) AS bays FROM auto.bay GROUP BY business_id WITH NO DATA;
CREATE VIEW auto.my_bay_count WITH (security_barrier = true) AS
    SELECT c.bays FROM auto.bay_count AS c
    WHERE c.business_id = tenant_mgmt.current_business_id() AND c.bays > 0;
""",
)
BAD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
CREATE VIEW auto.free_bay AS SELECT bay_id FROM auto.bay; -- here
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
CREATE VIEW auto.free_bay WITH (security_barrier = true) AS -- here
    SELECT bay_id FROM auto.bay WHERE business_id = tenant_mgmt.current_business_id();
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
CREATE MATERIALIZED VIEW auto.bay_count AS
    SELECT business_id, count(*) AS bays FROM auto.bay GROUP BY business_id WITH NO DATA;
CREATE VIEW auto.my_bay_count WITH (security_barrier = true) AS -- here
    SELECT c.bays FROM auto.bay_count AS c
    WHERE c.business_id = tenant_mgmt.current_business_id() OR c.bays > 0;
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
CREATE MATERIALIZED VIEW auto.bay_count AS
    SELECT business_id, count(*) AS bays FROM auto.bay GROUP BY business_id WITH NO DATA;
CREATE VIEW auto.my_bay_count WITH (security_barrier = true) AS -- here
    SELECT c.bays, d.bays AS other FROM auto.bay_count AS c CROSS JOIN auto.bay_count AS d
    WHERE c.business_id = tenant_mgmt.current_business_id();
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL, bay_id uuid NOT NULL);
CREATE MATERIALIZED VIEW auto.bay_count AS
    SELECT business_id, count(*) AS bays FROM auto.bay GROUP BY business_id WITH NO DATA;
CREATE VIEW auto.my_bay_count AS -- here
    SELECT bays FROM auto.bay_count WHERE business_id = tenant_mgmt.current_business_id();
""",
)


def check(catalog: Catalog, tenancy: Tenancy) -> Iterator[Violation]:
    for view in catalog.views.values():
        invoker = view.is_on("security_invoker")
        if not view.materialized and not invoker and not publishes(view, catalog, tenancy):
            yield Violation(
                str(view.name),
                f"{view.name} reads with the rights of its owner",
                view.location,
                f"ALTER VIEW {qualified(view.name)} SET (security_invoker = true);",
            )
