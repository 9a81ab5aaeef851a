"""The tenant is set for a transaction, by the one function that is made for it.

A tenant set for the session stays on a pooled connection for whoever gets it next. On Citus
set_config() does not reach the workers even where it is local, and after a SET LOCAL gives the
rows of the wrong tenant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.bodies import mentions, saying
from checks.rule import Violation
from harness.catalog.source import Source
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = (
    """
CREATE FUNCTION auto.act() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.business_id = %L', 1); -- never SET app.business_id
END $$;
""",
    """
CREATE FUNCTION auto.act() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('app.request_id', '1', false);
END $$;
""",
)
BAD = (
    """
CREATE FUNCTION auto.act() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('app.business_id', '1', false); -- here
END $$;
""",
    """
CREATE FUNCTION auto.act() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('app.business_id', '1', true); -- here
END $$;
""",
    """
CREATE FUNCTION auto.act() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET app.business_id = %L', 1); -- here
END $$;
""",
    """
CREATE FUNCTION auto.act() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    SET SESSION app.business_id = '1'; -- here
END $$;
""",
)


# What may follow the setting's name where the call ends with `, true)`: local to the transaction.
_LOCAL = r"(?:[^()]|\((?:[^()]|\([^()]*\))*\))*,\s*(?:is_local\s*[:=]+>?\s*)?true\s*\)"


def check(source: Source, tenancy: Tenancy, for_citus: bool) -> Iterator[Violation]:
    setting = re.escape(tenancy.setting)
    allowed = "" if for_citus else f"(?!{_LOCAL})"
    pattern = rf"\bset_config\s*\(\s*'{setting}'{allowed}|\bSET\s+(?:SESSION\s+)?{setting}\b"
    for function, location in mentions(source, pattern, saying(source, tenancy.setting)):
        yield Violation(
            function.signature,
            f"{function.signature} sets {tenancy.setting} otherwise than with SET LOCAL",
            location,
            f"EXECUTE format('SET LOCAL {tenancy.setting} = %L', tenant);",
        )
