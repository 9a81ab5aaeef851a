"""What names the tenant tells the workers too.

Citus sends a SET LOCAL on to the workers where citus.propagate_set_commands is 'local', and no
other way of setting it: without that setting every session sees no row, or fails. A function has
it for its own time with SET citus.propagate_set_commands = 'local'.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.policies import functions_called
from checks.rule import Violation
from harness.catalog.files.expressions import parse
from harness.catalog.model import Function
from harness.catalog.source import Source
from harness.config import Tenancy
from harness.finding import Severity

SEVERITY = Severity.ERROR
TENANCY = Tenancy(set_tenant="SELECT auto.work_for(%s)")
GOOD = """
CREATE FUNCTION auto.work_for(tenant uuid) RETURNS void LANGUAGE plpgsql
    SET citus.propagate_set_commands = 'local'
    AS $$ BEGIN EXECUTE format('SET LOCAL app.business_id = %L', tenant); END $$;
"""
BAD = """
CREATE FUNCTION auto.work_for(tenant uuid) RETURNS void LANGUAGE plpgsql -- here
    AS $$ BEGIN EXECUTE format('SET LOCAL app.business_id = %L', tenant); END $$;
"""


def check(distributed: Source, tenancy: Tenancy) -> Iterator[Violation]:
    if tenancy.by_role:
        return
    for function in _naming(distributed, tenancy):
        if "citus.propagate_set_commands=local" not in function.settings:
            yield Violation(
                function.signature,
                f"{function.signature} names the tenant to the coordinator alone",
                function.location,
                f"ALTER FUNCTION {function.signature} SET citus.propagate_set_commands = 'local';",
            )


def _naming(source: Source, tenancy: Tenancy) -> Iterator[Function]:
    """The functions that tenancy.set_tenant calls."""
    expression = tenancy.set_tenant.lower().removeprefix("select").replace("%s", "NULL")
    for _, function in functions_called(parse(expression), source.catalog):
        yield function
