"""No role, database or function comes with a tenant.

A session that forgot to set its tenant must fail; with a default it works, on the rows of
whichever tenant the default names.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.rule import Violation
from harness.catalog.source import Source
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = """
ALTER ROLE app_user SET statement_timeout = '5s';
"""
BAD = (
    """
ALTER ROLE app_user SET app.business_id = '00000000-0000-0000-0000-000000000001'; -- here
""",
    """
ALTER DATABASE app SET app.business_id = '00000000-0000-0000-0000-000000000001'; -- here
""",
    """
CREATE FUNCTION auto.count_all() RETURNS bigint -- here
    LANGUAGE sql SET app.business_id = '1'
    RETURN 1;
""",
)


def check(source: Source, tenancy: Tenancy) -> Iterator[Violation]:
    for setting in source.role_settings:
        if setting.name == tenancy.setting:
            yield Violation(
                setting.owner, f"{setting.owner} comes with a tenant set", setting.location
            )
    for function in source.catalog.functions:
        if any(each.partition("=")[0] == tenancy.setting for each in function.settings):
            yield Violation(
                function.signature,
                f"function {function.signature} runs as a fixed tenant",
                function.location,
                f"ALTER FUNCTION {function.signature} RESET {tenancy.setting};",
            )
