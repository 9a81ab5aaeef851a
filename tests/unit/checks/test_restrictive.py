"""A restrictive policy is said without one by conditions that both demand."""

from __future__ import annotations

import pytest

from checks.restrictive import folded
from harness.catalog.model import Name, Policy

BAY = Name("auto", "bay")
TENANT = Policy("tenant_isolation", using="a")
FLOOR = Policy("floor", permissive=False, using="b")


def test_conditions_are_put_together_and_the_policy_goes() -> None:
    assert folded(BAY, (TENANT, FLOOR), FLOOR) == (
        "ALTER POLICY tenant_isolation ON auto.bay USING ((a) AND (b));\n"
        "DROP POLICY floor ON auto.bay;"
    )


def test_what_is_written_is_held_to_the_checks_of_both() -> None:
    checked = Policy("floor", permissive=False, using="b", check="c")
    assert "USING ((a) AND (b)) WITH CHECK ((a) AND (c));" in folded(BAY, (TENANT,), checked)
    insert = Policy("adding", command="insert", check="d")
    assert "ALTER POLICY adding ON auto.bay WITH CHECK ((d) AND (c));" in folded(
        BAY, (insert,), checked
    )


@pytest.mark.parametrize(
    "narrow",
    [
        Policy("floor", permissive=False, command="delete", using="b"),
        Policy("floor", permissive=False, roles=("clerk",), using="b"),
    ],
)
def test_nothing_is_proposed_for_a_policy_of_fewer_commands_or_roles(narrow: Policy) -> None:
    assert folded(BAY, (TENANT, narrow), narrow) == ""


def test_nothing_is_proposed_where_no_policy_would_be_left() -> None:
    assert folded(BAY, (FLOOR,), FLOOR) == ""
