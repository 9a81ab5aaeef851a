"""The statement that sets the tenant names it, where that costs no statement more."""

from __future__ import annotations

import pytest

from loadtests.naming import naming


@pytest.mark.parametrize(
    "statement", ["SELECT tenant_mgmt.set_tenant(%s)", " select set_config('app.org', %s, true); "]
)
def test_a_call_is_given_another_beside_it(statement: str) -> None:
    call = statement.strip().rstrip(";")
    assert naming(statement) == f"{call}, set_config('application_name', 'bh:' || %s, true)"


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT act_for(u.id) FROM app.account AS u WHERE u.tenant = %s",
        "CALL act_for(%s)",
        "SELECT f(%s); SELECT 1",
        "SET no way",
        "SELECT f(%s) ORDER BY 1",
        "SELECT f(%s) UNION SELECT 1",
    ],
)
def test_any_other_statement_stays_as_it_is(statement: str) -> None:
    assert naming(statement) == statement
