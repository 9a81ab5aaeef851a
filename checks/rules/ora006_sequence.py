"""No application role reads or sets a sequence that tenants share.

Its value tells how much all tenants write, and setval makes the next insert of another tenant
fail. USAGE, which nextval needs, tells it too, one number at a time: use keys that are not
counted, or one counter per tenant.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.reach import applications
from checks.rule import Violation
from checks.wording import quoted
from harness.catalog.source import Source
from harness.config import Roles
from harness.finding import Severity

SEVERITY = Severity.INFO
GOOD = """
CREATE SEQUENCE auto.batch;
GRANT USAGE ON SEQUENCE auto.batch TO harness_loader;
"""
BAD = """
CREATE SEQUENCE auto.order_number;
GRANT ALL ON SEQUENCE auto.order_number TO app_user; -- here
"""


def check(source: Source, roles: Roles) -> Iterator[Violation]:
    for held in source.privileges:
        if held.kind == "sequence" and held.role in (*applications(roles), "public"):
            listed = ", ".join(sorted(held.privileges)).upper()
            yield Violation(
                held.object,
                f"{held.role} holds {listed} on the sequence {held.object}",
                held.location,
                f"REVOKE {listed} ON SEQUENCE {held.object} FROM {quoted(held.role)};",
            )
