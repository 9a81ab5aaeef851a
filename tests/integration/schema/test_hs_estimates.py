"""Options are priced from their lines; what a customer signed stays."""

from __future__ import annotations

from decimal import Decimal
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.conftest import become_app
from tests.integration.schema.test_hs_customers_intake import add_location
from tests.integration.schema.test_hs_organization import one
from tests.integration.schema.test_hs_pricebook import add, add_customer

MACHINE = {
    "draft": ("presented", "dismissed"),
    "presented": ("viewed", "sold", "dismissed", "expired"),
    "viewed": ("sold", "dismissed", "expired"),
    "expired": ("presented", "dismissed"),
    "dismissed": (),
    "sold": (),
}


def add_estimate(connection: Connection, number: str = "Q1", **given: Any) -> UUID:
    """A draft for a location, which is made where there is none."""
    location = one(connection, "SELECT service_location_id FROM hs.service_location")
    if not location:
        location = add_location(connection, add_customer(connection, "Q-C"), "Q-L")
    customer = one(connection, "SELECT customer_id FROM hs.service_location")
    columns = {"title": "New furnace", "customer_id": customer, **given}
    return add(
        connection, "estimate", estimate_number=number, service_location_id=location, **columns
    )


def add_option(connection: Connection, estimate: UUID, number: int = 1, **given: Any) -> UUID:
    columns = {"name": f"Option {number}", **given}
    return add(connection, "estimate_option", estimate_id=estimate, option_no=number, **columns)


def add_line(
    connection: Connection, option: UUID, number: int, kind: str, price: int, **given: Any
) -> UUID:
    columns = {"description": kind, **given}
    return add(
        connection,
        "estimate_line",
        estimate_option_id=option,
        line_no=number,
        line_kind=kind,
        unit_price=price,
        **columns,
    )


@pytest.fixture
def estimate(app: Connection) -> UUID:
    """A draft of two options: 1000 that cost 400, and 3000 that cost 2000, recommended."""
    found = add_estimate(app)
    add_line(app, add_option(app, found, 1), 1, "service", 1000, unit_cost=400)
    better = add_option(app, found, 2, is_recommended=True)
    add_line(app, better, 1, "equipment", 3000, unit_cost=2000)
    return found


def present(connection: Connection, estimate: UUID, expires: str = "9 days") -> None:
    connection.execute(
        "UPDATE hs.estimate SET status = 'presented', presented_at = now() - interval '1 day',"
        " expires_on = tenant_mgmt.today() + %s::interval WHERE estimate_id = %s",
        [expires, estimate],
    )


def totals(connection: Connection, estimate: UUID) -> Any:
    return connection.execute(
        "SELECT total_amount, cost_amount, round(margin_pct, 2) FROM hs.estimate"
        " WHERE estimate_id = %s",
        [estimate],
    ).fetchone()


def test_an_estimate_amounts_to_the_recommended_option(app: Connection, estimate: UUID) -> None:
    assert totals(app, estimate) == (3000, 2000, Decimal("33.33"))


def test_without_a_recommendation_it_amounts_to_the_first(app: Connection, estimate: UUID) -> None:
    app.execute("UPDATE hs.estimate_option SET is_recommended = false")
    assert totals(app, estimate) == (1000, 400, 60)


def test_an_estimate_without_options_amounts_to_nothing(app: Connection, estimate: UUID) -> None:
    app.execute("DELETE FROM hs.estimate_option")
    assert totals(app, estimate) == (0, 0, None)


def test_discounts_count_against_and_optional_lines_do_not_count(app: Connection) -> None:
    option = add_option(app, add_estimate(app))
    add_line(app, option, 1, "service", 500)
    add_line(app, option, 2, "discount", -50)
    add_line(app, option, 3, "rebate", -100, line_qty=2)
    add_line(app, option, 4, "material", 70, is_optional=True)
    row = app.execute(
        "SELECT subtotal_amount, discount_amount, total_amount FROM hs.estimate_option"
    ).fetchone()
    assert row == (500, 250, 250)
    app.execute("UPDATE hs.estimate_line SET is_optional = false")
    assert one(app, "SELECT total_amount FROM hs.estimate_option") == 320
    app.execute("DELETE FROM hs.estimate_line WHERE line_kind = 'rebate'")
    assert one(app, "SELECT total_amount FROM hs.estimate_option") == 520


def test_a_discount_is_within_the_price(app: Connection) -> None:
    option = add_option(app, add_estimate(app))
    with pytest.raises(errors.CheckViolation, match="discount_within_subtotal"):
        add_line(app, option, 1, "discount", -1)


@pytest.mark.parametrize(("kind", "price"), [("service", -1), ("discount", 1), ("rebate", 1)])
def test_only_a_discount_is_negative(app: Connection, kind: str, price: int) -> None:
    option = add_option(app, add_estimate(app))
    with pytest.raises(errors.CheckViolation, match="negative_only_when_discount"):
        add_line(app, option, 1, kind, price)


def tax_location(connection: Connection, **given: Any) -> UUID:
    """Puts all locations into a jurisdiction with a tax of 8 %, of 1 % more on parts."""
    rate = add(
        connection,
        "tax_rate",
        jurisdiction_code="COOK",
        name="Sales",
        state_pct=6,
        local_pct=2,
        effective_on="2020-01-01",
        **given,
    )
    add(
        connection,
        "tax_rate",
        jurisdiction_code="COOK",
        name="City",
        tax_kind="municipal",
        applies_to="parts",
        local_pct=1,
        effective_on="2020-01-01",
    )
    connection.execute("UPDATE hs.service_location SET tax_rate_id = %s", [rate])
    return rate


def test_tax_is_that_of_the_location_and_of_the_kind_of_line(app: Connection) -> None:
    option = add_option(app, add_estimate(app))
    tax_location(app)
    add_line(app, option, 1, "labor", 100)
    add_line(app, option, 2, "material", 100)
    add_line(app, option, 3, "service", 100, is_taxable=False)
    assert one(app, "SELECT tax_amount FROM hs.estimate_option") == 17


def test_who_is_exempt_is_not_taxed(app: Connection) -> None:
    option = add_option(app, add_estimate(app))
    tax_location(app)
    app.execute("UPDATE hs.customer SET is_tax_exempt = true, tax_exempt_certificate_ref = 'X'")
    add_line(app, option, 1, "labor", 100)
    assert one(app, "SELECT tax_amount FROM hs.estimate_option") == 0


@pytest.mark.parametrize(
    ("sold", "day", "pct"),
    [("parts", "2026-01-01", 9), ("labor", "2026-01-01", 8), ("parts", "2019-12-31", 0)],
)
def test_a_rate_holds_from_its_day(app: Connection, sold: str, day: str, pct: int) -> None:
    add_estimate(app)
    tax_location(app)
    found = app.execute(
        "SELECT x.tax_pct, x.tax_rate_id IS NULL FROM hs.service_location AS l CROSS JOIN LATERAL"
        " hs.location_tax(l.business_id, l.service_location_id, %s, %s) AS x",
        [sold, day],
    ).fetchall()
    assert found == [(pct, pct == 0)]


def test_a_place_without_a_jurisdiction_tells_no_tax(app: Connection) -> None:
    add_estimate(app)
    found = app.execute(
        "SELECT FROM hs.service_location AS l CROSS JOIN LATERAL"
        " hs.location_tax(l.business_id, l.service_location_id, 'parts', current_date)"
    ).fetchall()
    assert found == []


def test_the_option_that_is_sold_is_the_amount(app: Connection, estimate: UUID) -> None:
    present(app, estimate)
    sold = app.execute(
        "SELECT status, selected_option_no, total_amount, sold_at IS NOT NULL"
        " FROM hs.sell_estimate(%s, 1)",
        [estimate],
    ).fetchone()
    assert sold == ("sold", 1, 1000, True)
    assert totals(app, estimate) == (1000, 400, 60)


def test_an_option_of_its_own_is_sold(app: Connection, estimate: UUID) -> None:
    present(app, estimate)
    with pytest.raises(errors.ForeignKeyViolation, match="has no option 3"):
        app.execute("SELECT hs.sell_estimate(%s, 3)", [estimate])


def test_a_sale_names_its_option(app: Connection, estimate: UUID) -> None:
    present(app, estimate)
    with pytest.raises(errors.CheckViolation, match="sold_names_its_option"):
        app.execute("UPDATE hs.estimate SET status = 'sold', sold_at = now()")


@pytest.mark.parametrize(("expires", "holds"), [("0 days", True), ("-1 day", False)])
def test_a_quote_holds_through_its_last_day(
    app: Connection, estimate: UUID, expires: str, holds: bool
) -> None:
    present(app, estimate, expires)
    if holds:
        app.execute("SELECT hs.sell_estimate(%s, 1)", [estimate])
        return
    with pytest.raises(errors.NoDataFound, match="still holds"):
        app.execute("SELECT hs.sell_estimate(%s, 1)", [estimate])


def test_a_sale_answers_the_other_revisions(app: Connection, estimate: UUID) -> None:
    later = add_estimate(app, revision_no=2)
    other = add_estimate(app, "Q2")
    add_option(app, later, 1)
    present(app, later)
    app.execute("SELECT hs.sell_estimate(%s, 1)", [later])
    found = dict(app.execute("SELECT estimate_id, status FROM hs.estimate").fetchall())
    assert found == {estimate: "dismissed", later: "sold", other: "draft"}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE hs.estimate SET title = 'Other'",
        "UPDATE hs.estimate SET selected_option_no = 2",
        "DELETE FROM hs.estimate",
        "UPDATE hs.estimate_option SET name = 'Other'",
        "DELETE FROM hs.estimate_option WHERE option_no = 2",
        "UPDATE hs.estimate_line SET unit_price = 1",
        "DELETE FROM hs.estimate_line",
    ],
)
def test_what_was_sold_stays(app: Connection, estimate: UUID, change: str) -> None:
    present(app, estimate)
    app.execute("SELECT hs.sell_estimate(%s, 1)", [estimate])
    with pytest.raises(errors.RestrictViolation, match="sold"):
        app.execute(change.encode())


def test_nothing_is_added_to_what_was_sold(app: Connection, estimate: UUID) -> None:
    present(app, estimate)
    app.execute("SELECT hs.sell_estimate(%s, 1)", [estimate])
    with pytest.raises(errors.RestrictViolation, match="options of a sold estimate"):
        add_option(app, estimate, 3)


def test_quotes_lapse_after_their_last_day(app: Connection, estimate: UUID) -> None:
    present(app, estimate, "0 days")
    assert one(app, "SELECT hs.expire_estimates()") == 0
    assert one(app, "SELECT hs.expire_estimates(tenant_mgmt.today() + 1)") == 1
    assert one(app, "SELECT status FROM hs.estimate") == "expired"


@pytest.mark.parametrize(
    ("before", "after"), [pair for pair in product(MACHINE, MACHINE) if pair[0] != pair[1]]
)
def test_a_status_moves_as_its_machine_says(
    admin: Connection, tenant: UUID, before: str, after: str
) -> None:
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    estimate = add_estimate(admin)
    add_option(admin, estimate)
    facts = (
        "status = %(to)s, presented_at = coalesce(presented_at, now()),"
        " dismissed_reason = CASE WHEN %(to)s = 'dismissed' THEN 'price' END,"
        " selected_option_no = CASE WHEN %(to)s = 'sold' THEN 1 ELSE selected_option_no END,"
        " sold_at = CASE WHEN %(to)s = 'sold' THEN now() END"
    )
    move = f"UPDATE hs.estimate SET {facts}".encode()
    path: dict[str, tuple[str, ...]] = {
        "draft": (),
        "dismissed": ("dismissed",),
        "presented": ("presented",),
        "viewed": ("presented", "viewed"),
        "expired": ("presented", "expired"),
        "sold": ("presented", "sold"),
    }
    for state in path[before]:
        admin.execute(move, {"to": state})
    if before != "sold":
        become_app(admin, tenant)
    if after in MACHINE[before]:
        admin.execute(move, {"to": after})
        return
    with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
        admin.execute(move, {"to": after})


@pytest.mark.parametrize("status", [state for state in MACHINE if state != "draft"])
def test_a_new_estimate_is_a_draft(app: Connection, status: str) -> None:
    with pytest.raises(errors.CheckViolation, match="cannot start as"):
        add_estimate(app, status=status)
