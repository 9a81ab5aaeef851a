"""A SECURITY DEFINER function for applications asks for the session's tenant.

It reads past the row security of its caller. Where it takes the tenant from an argument, or
from nobody, whoever calls it names the tenant whose rows it reads or writes. Where it executes
what it puts together, its caller may even name the table.
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
    """
CREATE FUNCTION auto.renew(part text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('REFRESH MATERIALIZED VIEW auto.%I', part);
    EXECUTE 'ANALYZE auto.bay';
END $$;
REVOKE EXECUTE ON FUNCTION auto.renew(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION auto.renew(text) TO app_user;
""",
)
BAD = (
    """
CREATE TABLE auto.bay (business_id uuid NOT NULL);
CREATE FUNCTION auto.count_bays(tenant uuid) RETURNS bigint -- here
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN (SELECT count(*) FROM auto.bay WHERE business_id = tenant);
REVOKE EXECUTE ON FUNCTION auto.count_bays(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION auto.count_bays(uuid) TO app_user;
""",
    """
CREATE FUNCTION auto.find(part text, word text) RETURNS SETOF jsonb -- here
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT to_jsonb(t) FROM auto.%I AS t WHERE t::text LIKE $1', part)
        USING word;
END $$;
REVOKE EXECUTE ON FUNCTION auto.find(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION auto.find(text, text) TO app_user;
""",
    """
CREATE FUNCTION auto.run(statement text) RETURNS void -- here
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE statement;
END $$;
REVOKE EXECUTE ON FUNCTION auto.run(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION auto.run(text) TO app_user;
""",
)

_NAME = r"(?:\"[^\"]+\"|\w+)"
_TOUCHED = re.compile(
    rf"\b(?:FROM|JOIN|USING|INTO|UPDATE)\s+(?:ONLY\s+)?(?:{_NAME}\s*\.\s*)?({_NAME})", re.I
)
_EXECUTED = re.compile(
    r"""\bEXECUTE\s+(?!(?:ON|FUNCTION|PROCEDURE)\b)
        (?P<constant>'(?:[^']|'')*'\s*(?:;|(?:INTO|USING)\b))?
        (?:(?:pg_catalog\.)?format\s*\(\s*)? (?:E?'|\$\w*\$)?\s* (?P<verb>\w*)""",
    re.IGNORECASE | re.VERBOSE,
)
_WITHOUT_ROWS = (
    *("alter", "analyze", "cluster", "comment", "create", "drop", "grant", "lock", "notify"),
    *("refresh", "reindex", "reset", "revoke", "set", "vacuum"),
)


def check(source: Source, tenancy: Tenancy, roles: Roles) -> Iterator[Violation]:
    suspects = list(_callable_by_applications(source, roles))
    asking = {function for function, _ in mentions(source, _asks(tenancy), suspects)}
    tables = {table.name.name.lower() for table in isolated(source.catalog, tenancy)}
    for function in suspects:
        text = without_comments(source.definitions.get(function.signature, ""))
        does = "touches rows of tenants" if not tables.isdisjoint(_touched(text)) else ""
        if not does and function.language == "plpgsql" and _builds_statements(text):
            does = "executes statements that it puts together"
        if does and function not in asking:
            yield Violation(
                function.signature,
                f"SECURITY DEFINER function {function.signature} {does} and does not ask which"
                " tenant the session works for",
                function.location,
                f"ALTER FUNCTION {function.signature} SECURITY INVOKER;",
            )


def _touched(text: str) -> Iterator[str]:
    """The bare names of what stands where a query names its tables, in lowercase."""
    return (match[1].strip('"').lower() for match in _TOUCHED.finditer(text))


def _builds_statements(text: str) -> bool:
    """Whether it executes something else than a constant, which may read or write rows."""
    return any(
        not match["constant"] and match["verb"].lower() not in _WITHOUT_ROWS
        for match in _EXECUTED.finditer(text)
    )


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
