"""Orders add up, payments never pay twice, coupons are used as often as allowed, refunds settle."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.admissions import (
    cart,
    change,
    enroll,
    learner,
    line_of,
    of,
    one,
    open_section,
    pay,
    placed,
)
from tests.integration.schema.parallel import at_once
from tests.integration.schema.rows import imported, row
from tests.integration.schema.states import refused

MACHINES: dict[str, dict[str, set[str]]] = {
    "course_order": {
        "cart": {"pending", "paid", "cancelled"},
        "pending": {"paid", "partially_refunded", "refunded", "cancelled", "failed"},
        "failed": {"pending", "cancelled"},
        "paid": {"partially_refunded", "refunded"},
        "partially_refunded": {"refunded"},
        "refunded": set(),
        "cancelled": set(),
    },
    "course_payment": {
        "scheduled": {"pending", "succeeded", "failed"},
        "pending": {"succeeded", "failed"},
        "failed": {"pending"},
        "succeeded": {"refunded", "disputed"},
        "disputed": {"succeeded", "refunded"},
        "refunded": set(),
    },
    "course_refund": {
        "requested": {"approved", "denied"},
        "approved": {"processed", "failed"},
        "failed": {"approved"},
        "denied": set(),
        "processed": set(),
    },
    "scholarship_award": {
        "offered": {"accepted", "revoked"},
        "accepted": {"active", "revoked"},
        "active": {"completed", "revoked"},
        "completed": set(),
        "revoked": set(),
    },
    "instructor_payout": {
        "accrued": {"approved", "on_hold", "reversed"},
        "approved": {"paid", "on_hold", "reversed"},
        "on_hold": {"accrued", "approved", "reversed"},
        "paid": {"reversed"},
        "reversed": set(),
    },
}
AT = "2026-05-04 10:00+00"


def stated(table: str, status: str) -> dict[str, Any]:
    """What a row of the table has to hold in a status."""
    if table == "course_order":
        given: dict[str, Any] = {"subtotal_amount": 100, "ordered_at": AT}
        given["paid_amount"] = 0 if status == "cancelled" else 100
        if status in {"refunded", "partially_refunded"}:
            given["refunded_amount"] = 100 if status == "refunded" else 40
        return given
    if table == "course_payment":
        return {"paid_at": AT, "attempted_at": AT, "failure_code": "declined"}
    if table == "course_refund":
        decided = status != "requested"
        return {
            "requested_at": AT,
            "decided_at": AT if decided else None,
            "processed_at": AT if status == "processed" else None,
            "denial_reason": "Too late" if status == "denied" else None,
        }
    if table == "scholarship_award":
        return {"revoked_reason": "Left"}
    return {"paid_on": "2026-06-05", "hold_reason": "Asked"}


def history(connection: Connection, table: str, status: str) -> UUID:
    """A row as history brings it in a status."""
    given = stated(table, status)
    if table == "course_payment":
        given["course_order_id"] = order = imported(connection, "courses.course_order")
        line(connection, order, amount=100)
        imported_status(connection, order, "pending")
    if table == "course_refund":
        given["course_payment_id"] = paid(connection)
    return imported(connection, f"courses.{table}", status=status, **given)


def imported_status(connection: Connection, order: UUID, status: str) -> None:
    change(connection, "courses.course_order", order, status=status)


def line(connection: Connection, order: UUID, amount: float, **given: Any) -> UUID:
    return row(
        connection,
        "courses.course_order_line",
        course_order_id=order,
        price_offer_id=offer(connection),
        unit_amount=amount,
        **given,
    )


def offer(connection: Connection, **given: Any) -> UUID:
    return row(
        connection,
        "courses.price_offer",
        **{"course_id": row(connection, "courses.course"), "amount": 100, **given},
    )


def paid(connection: Connection, **given: Any) -> UUID:
    """A payment of 100 for an order of 100."""
    return pay(connection, placed(connection, offer(connection)), 100, **given)


@pytest.mark.parametrize(
    ("table", "before", "after"),
    [(t, b, a) for t, m in MACHINES.items() for b, after in m.items() for a in sorted(after)],
)
def test_an_edge_is_followed(app: Connection, table: str, before: str, after: str) -> None:
    made = history(app, table, before)
    given = stated(table, after)
    if (table, before) == ("course_order", "cart"):
        line(app, made, amount=100)
    change(app, f"courses.{table}", made, status=after, **given)
    assert of(app, f"courses.{table}", made, "status") == after


@pytest.mark.parametrize(
    ("table", "before", "after"),
    [(t, b, a) for t, m in MACHINES.items() for b, a in refused(m)],
)
def test_where_no_edge_is_none_is_followed(
    app: Connection, table: str, before: str, after: str
) -> None:
    made = history(app, table, before)
    with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
        change(app, f"courses.{table}", made, status=after, **stated(table, after))


def figures(connection: Connection, order: UUID) -> Any:
    return of(
        connection,
        "courses.course_order",
        order,
        "subtotal_amount",
        "discount_amount",
        "tax_amount",
        "total_amount",
    )


def test_an_order_adds_up_its_lines(app: Connection) -> None:
    order = row(app, "courses.course_order")
    line(app, order, 100, line_no=1, quantity=2, tax_amount=16)
    second = line(app, order, 50, line_no=2, discount_amount=5)
    assert figures(app, order) == (250, 5, 16, 261)
    change(app, "courses.course_order_line", second, quantity=3)
    assert figures(app, order) == (350, 5, 16, 361)
    app.execute("DELETE FROM courses.course_order_line WHERE line_no = 1")
    assert figures(app, order) == (150, 5, 0, 145)
    assert of(app, "courses.course_order_line", second, "line_amount") == 145


def test_what_was_placed_stands(app: Connection) -> None:
    order = placed(app, offer(app))
    bought = line_of(app, order)
    with pytest.raises(errors.CheckViolation, match="its lines stand"), app.transaction():
        change(app, "courses.course_order_line", bought, unit_amount=1)
    with pytest.raises(errors.CheckViolation, match="its lines stand"), app.transaction():
        line(app, order, 1, line_no=2)
    with pytest.raises(errors.CheckViolation, match="its lines stand"), app.transaction():
        app.execute("DELETE FROM courses.course_order_line")
    change(app, "courses.course_order_line", bought, is_gift=True)


def test_an_empty_cart_is_not_placed(app: Connection) -> None:
    order = row(app, "courses.course_order")
    with pytest.raises(errors.CheckViolation, match="has nothing in it"):
        change(app, "courses.course_order", order, status="pending")


def test_what_costs_nothing_is_paid_at_once(app: Connection) -> None:
    order = row(app, "courses.course_order")
    line(app, order, 0)
    change(app, "courses.course_order", order, status="pending")
    assert of(app, "courses.course_order", order, "status") == "paid"


def test_what_costs_something_is_not_paid_by_saying_so(app: Connection) -> None:
    order = cart(app, offer(app))
    with pytest.raises(errors.CheckViolation, match="paid_in_full"):
        change(app, "courses.course_order", order, status="paid")


def test_an_order_is_paid_by_the_last_of_its_payments(app: Connection) -> None:
    order = placed(app, offer(app))
    pay(app, order, 30)
    assert of(app, "courses.course_order", order, "status", "paid_amount") == ("pending", 30)
    later = pay(app, order, 70, status="scheduled", paid_at=None)
    assert of(app, "courses.course_order", order, "paid_amount") == 30
    change(app, "courses.course_payment", later, status="succeeded")
    assert of(app, "courses.course_order", order, "status", "paid_amount") == ("paid", 100)
    assert of(app, "courses.course_payment", later, "paid_at") is not None


def test_an_order_is_not_overpaid(app: Connection) -> None:
    order = placed(app, offer(app))
    pay(app, order, 60)
    with pytest.raises(errors.CheckViolation, match="not_overpaid"):
        pay(app, order, 41)


def test_what_was_paid_is_refunded_not_cancelled(app: Connection) -> None:
    order = placed(app, offer(app))
    pay(app, order, 30)
    with pytest.raises(errors.CheckViolation, match="cancelled_before_payment"):
        change(app, "courses.course_order", order, status="cancelled")


@pytest.mark.parametrize(
    ("status", "seat"), [("cancelled", "withdrawn"), ("failed", "pending_payment")]
)
def test_a_cancelled_order_gives_up_its_seats(app: Connection, status: str, seat: str) -> None:
    section = open_section(app, seat_limit=1)
    course = of(app, "courses.course_section", section, "course_id")
    order = placed(app, offer(app, course_id=course))
    made = enroll(app, learner(app), section, "self", line_of(app, order))
    assert made is not None
    change(app, "courses.course_order", order, status=status)
    assert of(app, "courses.enrollment", made, "status") == seat


def test_who_enrolls_while_the_money_comes_in_gets_in(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        section = open_section(connection)
        course = of(connection, "courses.course_section", section, "course_id")
        order = placed(connection, offer(connection, course_id=course))
        person, line = learner(connection), line_of(connection, order)

    def hand(connection: Connection, number: int) -> UUID | None:
        if number == 0:
            return pay(connection, order, 100)
        return enroll(connection, person, section, "self", line)

    _, made = at_once(target, tenant, 2, hand)
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        assert of(connection, "courses.enrollment", made, "status") == "active"


def test_a_cart_is_not_paid(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="is a cart"):
        pay(app, cart(app, offer(app)), 100)


def test_an_instalment_is_paid_once(app: Connection) -> None:
    order = placed(app, offer(app))
    pay(app, order, 20, installment_no=1, status="failed", failure_code="declined", paid_at=None)
    pay(app, order, 20, installment_no=1)
    with pytest.raises(errors.UniqueViolation, match="installment_once"):
        pay(app, order, 20, installment_no=1)


def differences(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT figure, said, found FROM courses.order_differences() ORDER BY figure"
    ).fetchall()


def test_an_order_that_was_worked_through_adds_up(app: Connection) -> None:
    order = placed(app, offer(app))
    payment = pay(app, order, 100)
    process(app, refund(app, payment, 40))
    cart(app, offer(app))
    assert differences(app) == []


@pytest.mark.parametrize(
    ("change_it", "figure"),
    [
        ("UPDATE courses.course_order SET subtotal_amount = 101", "subtotal"),
        ("UPDATE courses.course_order SET discount_amount = 1, tax_amount = 1", "discount"),
        ("UPDATE courses.course_order SET paid_amount = 99", "paid"),
        ("UPDATE courses.course_order SET refunded_amount = 10", "refunded"),
    ],
)
def test_the_proof_finds_a_figure_that_is_wrong(
    app: Connection, change_it: str, figure: str
) -> None:
    order = placed(app, offer(app))
    pay(app, order, 50)
    app.execute("UPDATE courses.course_order SET paid_amount = 50")
    app.execute(change_it.encode())
    assert figure in [f for f, _, _ in differences(app)]


@pytest.mark.parametrize(
    ("broken", "figure"),
    [
        ("UPDATE courses.course_order_line SET unit_amount = 120", "subtotal"),
        ("UPDATE courses.course_order_line SET discount_amount = 7", "discount"),
        ("UPDATE courses.course_order_line SET tax_amount = 8", "tax"),
        ("UPDATE courses.course_payment SET amount = 55", "paid"),
        ("UPDATE courses.course_refund SET amount = 15", "refunded"),
    ],
)
def test_the_proof_finds_rows_that_were_forged(app: Connection, broken: str, figure: str) -> None:
    order = placed(app, offer(app))
    payment = pay(app, order, 60)
    process(app, refund(app, payment, 20))
    app.execute("RESET ROLE")
    app.execute("SET LOCAL session_replication_role = replica")
    app.execute(broken.encode())
    assert [f for f, _, _ in differences(app)] == [figure]


def test_two_payments_at_once_do_not_overpay(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        order = placed(connection, offer(connection))

    def hand(connection: Connection, _: int) -> bool:
        try:
            pay(connection, order, 60)
        except errors.CheckViolation:
            return False
        return True

    assert sorted(at_once(target, tenant, 2, hand)) == [False, True]


def coupon(connection: Connection, **given: Any) -> UUID:
    return row(
        connection, "courses.coupon", **{"code": "SPRING", "starts_at": "2026-01-01", **given}
    )


def apply(connection: Connection, order: UUID, code: str = "SPRING") -> Any:
    return one(
        connection, "SELECT courses.apply_coupon(%s, %s, '2026-05-04 10:00+00')", order, code
    )


def test_a_percentage_is_taken_off_each_line(app: Connection) -> None:
    coupon(app, percent_off=15)
    order = cart(app, offer(app), offer(app))
    assert apply(app, order, " spring ") == 30
    assert of(app, "courses.course_order", order, "total_amount") == 170


def test_an_amount_is_taken_off_once(app: Connection) -> None:
    coupon(app, discount_kind="amount", percent_off=None, amount_off=130)
    order = cart(app, offer(app), offer(app))
    assert apply(app, order) == 130
    found = app.execute(
        "SELECT discount_amount FROM courses.course_order_line ORDER BY line_no"
    ).fetchall()
    assert found == [(100,), (30,)]
    assert apply(app, cart(app, offer(app))) == 100


def test_a_coupon_applies_to_its_offers(app: Connection) -> None:
    mine, other = offer(app, offer_code="MINE"), offer(app)
    coupon(app, applies_to_offer_codes=["MINE"])
    assert apply(app, cart(app, other, mine)) == 10
    with pytest.raises(errors.CheckViolation, match="applies to nothing"):
        apply(app, cart(app, other))


def test_another_coupon_takes_the_place_of_the_first(app: Connection) -> None:
    coupon(app)
    coupon(app, code="AUTUMN", percent_off=40)
    order = cart(app, offer(app))
    assert [apply(app, order), apply(app, order, "autumn")] == [10, 40]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"code": "OTHER"}, "does not hold"),
        ({"is_active": False}, "does not hold"),
        ({"starts_at": "2026-05-05"}, "does not hold"),
        ({"expires_at": "2026-05-04 10:00+00"}, "does not hold"),
        ({"minimum_order_amount": 101}, "asks for an order of"),
        ({"max_redemptions": 3, "redemption_count": 3}, "is used up"),
    ],
)
def test_a_coupon_that_does_not_hold_is_refused(
    app: Connection, given: dict[str, Any], told: str
) -> None:
    coupon(app, **given)
    with pytest.raises(errors.CheckViolation, match=told):
        apply(app, cart(app, offer(app)))


def test_a_coupon_is_taken_off_a_cart(app: Connection) -> None:
    coupon(app)
    with pytest.raises(errors.CheckViolation, match="taken off a cart"):
        apply(app, placed(app, offer(app)))


def uses(connection: Connection) -> Any:
    return one(connection, "SELECT redemption_count FROM courses.coupon WHERE code = 'SPRING'")


def test_the_use_of_a_coupon_counts_when_the_order_is_placed(app: Connection) -> None:
    coupon(app)
    order = cart(app, offer(app))
    apply(app, order)
    assert uses(app) == 0
    change(app, "courses.course_order", order, status="pending")
    assert uses(app) == 1
    change(app, "courses.course_order", order, status="cancelled")
    assert uses(app) == 0


def test_a_coupon_comes_back_with_the_last_of_the_money(app: Connection) -> None:
    coupon(app)
    order = cart(app, offer(app))
    apply(app, order)
    change(app, "courses.course_order", order, status="pending")
    payment = pay(app, order, 90)
    process(app, refund(app, payment, 50))
    assert uses(app) == 1
    process(app, refund(app, payment, 40))
    assert uses(app) == 0
    assert of(app, "courses.course_order", order, "status") == "refunded"


def with_coupon(connection: Connection, count: int, **given: Any) -> list[UUID]:
    """Carts with the coupon SPRING."""
    orders = [cart(connection, offer(connection), **given) for _ in range(count)]
    for order in orders:
        apply(connection, order)
    return orders


def test_a_coupon_is_used_as_often_as_allowed(app: Connection) -> None:
    coupon(app, max_redemptions=2)
    first, second, third = with_coupon(app, 3)
    for order in (first, second):
        change(app, "courses.course_order", order, status="pending")
    with pytest.raises(errors.CheckViolation, match="not_used_too_often"):
        change(app, "courses.course_order", third, status="pending")


def test_one_buyer_uses_a_coupon_as_often_as_allowed(app: Connection) -> None:
    coupon(app, per_learner_limit=1)
    buyer = row(app, "user_mgmt.user_account")
    first, second = with_coupon(app, 2, buyer_user_account_id=buyer)
    (other,) = with_coupon(app, 1)
    for order in (first, other):
        change(app, "courses.course_order", order, status="pending")
    with pytest.raises(errors.CheckViolation, match="1 times by one buyer"):
        change(app, "courses.course_order", second, status="pending")


@pytest.mark.parametrize(
    "limit", [{"max_redemptions": 2}, {"per_learner_limit": 2}], ids=["in all", "per buyer"]
)
def test_a_coupon_is_not_used_more_often_by_many_at_once(
    deployed: Target, copy_of: Callable[[Target], Target], limit: dict[str, int]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        coupon(connection, **limit)
        buyer = row(connection, "user_mgmt.user_account")
        orders = with_coupon(connection, 5, buyer_user_account_id=buyer)

    def hand(connection: Connection, number: int) -> bool:
        try:
            change(connection, "courses.course_order", orders[number], status="pending")
        except errors.CheckViolation:
            return False
        return True

    assert sum(at_once(target, tenant, 5, hand)) == 2
    with psycopg.connect(target.admin) as connection:
        become_app(connection, tenant)
        assert uses(connection) == 2


def refund(connection: Connection, payment: UUID, amount: float, **given: Any) -> UUID:
    return row(
        connection,
        "courses.course_refund",
        course_payment_id=payment,
        amount=amount,
        requested_at="2026-05-04",
        **given,
    )


def process(connection: Connection, made: UUID) -> None:
    for status in ("approved", "processed"):
        change(connection, "courses.course_refund", made, status=status)


def test_a_refund_moves_payment_and_order(app: Connection) -> None:
    order = placed(app, offer(app))
    payment = pay(app, order, 100)
    process(app, refund(app, payment, 40))
    found = of(app, "courses.course_order", order, "status", "refunded_amount")
    assert found == ("partially_refunded", 40)
    assert of(app, "courses.course_payment", payment, "status") == "succeeded"
    process(app, refund(app, payment, 60))
    found = of(app, "courses.course_order", order, "status", "refunded_amount")
    assert found == ("refunded", 100)
    assert of(app, "courses.course_payment", payment, "status") == "refunded"
    assert of(app, "courses.course_order", order, "paid_amount") == 100


def test_no_more_is_given_back_than_was_paid(app: Connection) -> None:
    payment = paid(app)
    first = refund(app, payment, 60)
    with (
        pytest.raises(errors.CheckViolation, match=r"refunds of it come to 101"),
        app.transaction(),
    ):
        refund(app, payment, 41)
    change(app, "courses.course_refund", first, status="denied", denial_reason="Too late")
    assert refund(app, payment, 100)


def test_a_refund_does_not_grow_beyond_its_payment(app: Connection) -> None:
    payment = paid(app)
    refund(app, payment, 60)
    second = refund(app, payment, 40)
    with pytest.raises(errors.CheckViolation, match="come to 101"):
        change(app, "courses.course_refund", second, amount=41)


def test_what_did_not_come_in_is_not_given_back(app: Connection) -> None:
    order = placed(app, offer(app))
    payment = pay(app, order, 100, status="scheduled", paid_at=None)
    with pytest.raises(errors.CheckViolation, match="nothing to give back"):
        refund(app, payment, 10)


def test_two_refunds_at_once_stay_within_the_payment(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        payment = paid(connection)

    def hand(connection: Connection, _: int) -> bool:
        try:
            process(connection, refund(connection, payment, 60))
        except errors.CheckViolation:
            return False
        return True

    assert sorted(at_once(target, tenant, 2, hand)) == [False, True]


@pytest.mark.parametrize(
    ("revokes", "before", "after"),
    [
        (True, "active", "withdrawn"),
        (True, "failed", "expired"),
        (True, "completed", "completed"),
        (False, "active", "active"),
    ],
)
def test_a_refund_may_end_the_access(
    app: Connection, revokes: bool, before: str, after: str
) -> None:
    section = open_section(app)
    course = of(app, "courses.course_section", section, "course_id")
    order = placed(app, offer(app, course_id=course))
    payment = pay(app, order, 100)
    seat = enroll(app, learner(app), section, "self", line_of(app, order))
    assert seat is not None
    change(app, "courses.enrollment", seat, progress_pct=12.5)
    if before != "active":
        change(app, "courses.enrollment", seat, status=before)
    made = refund(app, payment, 100, enrollment_id=seat, revokes_access=revokes)
    assert of(app, "courses.course_refund", made, "progress_pct_at_request") == Decimal("12.5")
    process(app, made)
    assert of(app, "courses.enrollment", seat, "status") == after


@pytest.mark.parametrize(
    "change_it",
    ["UPDATE courses.course_refund SET amount = 1", "DELETE FROM courses.course_refund"],
)
def test_a_processed_refund_stands(app: Connection, change_it: str) -> None:
    process(app, refund(app, paid(app), 40))
    with pytest.raises(errors.RestrictViolation, match="stands"):
        app.execute(change_it.encode())


def test_no_column_holds_a_card_number(app: Connection) -> None:
    found = one(
        app,
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'courses.course_payment'::regclass"
        " AND attname ~ 'card|pan|cvv|cvc'",
    )
    assert found == 0
    order = placed(app, offer(app))
    with pytest.raises(errors.CheckViolation, match="no_card_number"), app.transaction():
        pay(app, order, 10, provider_reference="4111 1111 1111 1111")
    with pytest.raises(errors.CheckViolation, match="four_digits"):
        pay(app, order, 10, last4="41111")


@pytest.mark.parametrize(
    ("until", "earned"),
    [("2025-12-31", 0), ("2026-01-01", 10), ("2026-01-05", 50), ("2027-01-01", 100)],
)
def test_revenue_is_earned_evenly(app: Connection, until: str, earned: int) -> None:
    order = placed(app, offer(app))
    bought = line_of(app, order)
    change(
        app,
        "courses.course_order_line",
        bought,
        recognition_starts_on="2026-01-01",
        recognition_ends_on="2026-01-10",
    )
    recognize = "SELECT courses.recognize_revenue(%s)"
    assert one(app, recognize, until) == 0
    pay(app, order, 100)
    assert one(app, recognize, until) == earned
    assert one(app, recognize, until) == 0
    assert of(app, "courses.course_order_line", bought, "recognized_amount") == earned


def test_the_early_pay_less(app: Connection) -> None:
    made = offer(app, early_bird_amount=80, early_bird_until="2026-05-04 10:00+00")
    price = (
        "SELECT courses.offer_price(f, %s) FROM courses.price_offer AS f WHERE price_offer_id = %s"
    )
    assert one(app, price, "2026-05-04 09:59+00", made) == 80
    assert one(app, price, "2026-05-04 10:00+00", made) == 100


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("price_offer", {}, "sells_one_thing"),
        ("coupon", {"percent_off": None}, "takes_off_one_way"),
        ("coupon", {"amount_off": 10}, "takes_off_one_way"),
        ("coupon", {"percent_off": 101}, "takes_something_off"),
        ("coupon", {"percent_off": 0}, "takes_something_off"),
        ("coupon", {"max_redemptions": 1, "redemption_count": 2}, "not_used_too_often"),
        ("coupon", {"max_redemptions": 0}, "limits_positive|not_used"),
        ("coupon", {"code": "spring"}, "code_is_upper_case"),
        (
            "coupon",
            {"starts_at": "2026-05-04", "expires_at": "2026-05-04"},
            "ends_after_start",
        ),
        ("coupon", {"minimum_order_amount": -1}, "minimum_not_negative"),
        ("course_order", {"channel": "invoice"}, "invoice_names_their_order"),
        ("course_order", {"tax_amount": -1}, "total_not_negative|not_overpaid"),
        ("course_order", {"paid_amount": 1}, "not_overpaid"),
        ("course_order", {"refunded_amount": 1}, "refunds_what_was_paid"),
        ("scholarship_award", {"amount": 10}, "is_amount_or_share"),
        ("scholarship_award", {"percent": 0}, "percent_is_a_share|full_is"),
        ("scholarship_award", {"percent": 50}, "full_is_everything"),
        (
            "scholarship_award",
            {"award_kind": "grant", "percent": None, "amount": 10, "used_amount": 11},
            "not_overdrawn",
        ),
        ("scholarship_award", {"minimum_gpa": 5}, "gpa_on_its_scale"),
        (
            "scholarship_award",
            {"awarded_on": "2026-05-04", "valid_until": "2026-05-03"},
            "ends_after_start",
        ),
        ("instructor_payout", {"payout_amount": -1}, "not_negative"),
        ("instructor_payout", {"period_month": "2026-05-02"}, "of_a_month"),
        ("instructor_payout", {"hours": 3}, "hours_when_by_hours"),
        ("instructor_payout", {"basis": "hours"}, "hours_when_by_hours"),
        (
            "instructor_payout",
            {"basis": "revenue_share", "share_pct": 40, "gross_revenue_amount": 100},
            "share_of_net_revenue",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=rf"{table}_.*({truth})"):
        row(app, f"courses.{table}", **columns)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"pricing": "free"}, "costs_something_unless_free"),
        ({"amount": 0}, "costs_something_unless_free"),
        ({"pricing": "installments"}, "installments_are_several"),
        ({"installment_count": 3}, "installments_are_several"),
        ({"early_bird_amount": 100, "early_bird_until": AT}, "early_bird_is_cheaper"),
        ({"early_bird_amount": 90}, "early_bird_is_whole"),
        ({"access_days": 0}, "access_positive"),
        ({"valid_from": "2026-05-04", "valid_until": "2026-05-03"}, "ends_after_start"),
    ],
)
def test_an_offer_that_cannot_be_is_refused(
    app: Connection, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"price_offer_{truth}"):
        offer(app, **columns)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"quantity": 0}, "quantity_positive"),
        ({"discount_amount": 101}, "discount_at_most_its_price"),
        ({"seats_assigned": 2}, "gives_no_more_seats_than_bought"),
        ({"recognized_amount": 101}, "recognized_at_most_its_amount"),
        ({"recognition_starts_on": "2026-05-04"}, "recognition_is_a_period"),
        ({"gift_recipient_email": "a@example.com"}, "gift_goes_to_somebody"),
        ({"tax_amount": -1}, "amounts_not_negative"),
    ],
)
def test_a_line_that_cannot_be_is_refused(
    app: Connection, columns: dict[str, Any], truth: str
) -> None:
    order = row(app, "courses.course_order")
    with pytest.raises(errors.CheckViolation, match=f"course_order_line_{truth}"):
        line(app, order, 100, **columns)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"amount": 0}, "amount_positive"),
        ({"fee_amount": 11}, "fee_within_amount"),
        ({"attempted_at": "2036-01-01"}, "paid_after_attempt"),
        ({"status": "failed"}, "failed_for_a_reason"),
        ({"installment_no": 0}, "installment_positive"),
    ],
)
def test_a_payment_that_cannot_be_is_refused(
    app: Connection, columns: dict[str, Any], truth: str
) -> None:
    order = placed(app, offer(app))
    with pytest.raises(errors.CheckViolation, match=f"course_payment_{truth}"):
        pay(app, order, **{"amount": 10, **columns})


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"amount": 0}, "amount_positive"),
        ({"denial_reason": "Too late"}, "denied_for_a_reason"),
        ({"policy_window_days": -1}, "window_not_negative"),
        ({"decided_at": "2026-05-05"}, "decided_has_time"),
        ({"processed_at": "2026-05-05"}, "processed_has_time"),
    ],
)
def test_a_refund_that_cannot_be_is_refused(
    app: Connection, columns: dict[str, Any], truth: str
) -> None:
    payment = paid(app)
    with pytest.raises(errors.CheckViolation, match=f"course_refund_{truth}"):
        refund(app, payment, **{"amount": 10, **columns})
