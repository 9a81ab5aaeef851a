"""A SECURITY DEFINER function for applications asks for the session's tenant.

It reads past the row security of its caller. Where it takes the tenant from an argument, or
from nobody, whoever calls it names the tenant whose rows it reads or writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.bodies import mentions, without_comments
from checks.reach import applications, inherited
from checks.rule import Violation
from checks.subjects import isolated
from harness.catalog.model import Function
from harness.catalog.source import Source
from harness.config import Roles, Tenancy
from harness.finding import Severity

SEVERITY = Severity.ERROR
GOOD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
CREATE FUNCTION auto.count_bays() RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN (SELECT count(*) FROM auto.bay
            WHERE business_id = tenant_mgmt.current_business_id());
REVOKE EXECUTE ON FUNCTION auto.count_bays() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION auto.count_bays() TO app_user;
""",
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
CREATE FUNCTION auto.count_bays(tenant uuid) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN (SELECT count(*) FROM auto.bay WHERE business_id = tenant);
REVOKE EXECUTE ON FUNCTION auto.count_bays(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION auto.count_bays(uuid) TO harness_loader;
""",
)
BAD = """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
CREATE FUNCTION auto.count_bays(tenant uuid) RETURNS bigint -- here
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN (SELECT count(*) FROM auto.bay WHERE business_id = tenant);
REVOKE EXECUTE ON FUNCTION auto.count_bays(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION auto.count_bays(uuid) TO app_user;
"""

_NAME = r"(?:\"[^\"]+\"|\w+)"
_TOUCHED = re.compile(
    rf"\b(?:FROM|JOIN|USING|INTO|UPDATE)\s+(?:ONLY\s+)?(?:{_NAME}\s*\.\s*)?({_NAME})", re.I
)


def check(source: Source, tenancy: Tenancy, roles: Roles) -> Iterator[Violation]:
    suspects = list(_callable_by_applications(source, roles))
    asking = {function for function, _ in mentions(source, _asks(tenancy), suspects)}
    tables = {table.name.name.lower() for table in isolated(source.catalog, tenancy)}
    for function in suspects:
        if function not in asking and not tables.isdisjoint(_touched(function, source)):
            yield Violation(
                function.signature,
                f"SECURITY DEFINER function {function.signature} touches rows of tenants and does"
                " not ask which tenant the session works for",
                function.location,
                f"ALTER FUNCTION {function.signature} SECURITY INVOKER;",
            )


def _touched(function: Function, source: Source) -> Iterator[str]:
    """The bare names of what stands where a query names its tables, in lowercase."""
    text = without_comments(source.definitions.get(function.signature, ""))
    return (match[1].strip('"').lower() for match in _TOUCHED.finditer(text))


def _callable_by_applications(source: Source, roles: Roles) -> Iterator[Function]:
    """Definer functions that a role of the applications, or everybody, may execute."""
    callers = {"public"}
    for role in applications(roles):
        callers |= {role, *inherited(role, source.roles)}
    granted = {p.object for p in source.privileges if p.kind == "function" and p.role in callers}
    for function in source.catalog.functions:
        called = function.returns != "trigger"
        if function.security_definer and called and function.signature in granted:
            yield function


def _asks(tenancy: Tenancy) -> str:
    """The session's tenant, by its setting or by the function that tells it."""
    function = tenancy.current_tenant.partition("(")[0].rpartition(".")[2]
    return rf"{re.escape(tenancy.setting)}|\b{re.escape(function)}\b"
