"""Customers merge once, contacts belong to places, calls tell what was said and booked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors, sql

from harness.db import Connection
from tests.integration.conftest import become_app
from tests.integration.schema.test_hs_organization import one
from tests.integration.schema.test_hs_pricebook import add, add_customer

Machine = Mapping[str, tuple[str, ...]]

CUSTOMER: Machine = {
    "prospect": ("active", "do_not_service", "archived"),
    "active": ("do_not_service", "archived"),
    "do_not_service": ("active", "archived"),
    "archived": ("active",),
}
CAMPAIGN: Machine = {
    "planned": ("active", "ended"),
    "active": ("paused", "ended"),
    "paused": ("active", "ended"),
    "ended": (),
}
BOOKING_REQUEST: Machine = {
    "new": ("triaged", "converted", "duplicate", "dismissed"),
    "triaged": ("converted", "duplicate", "dismissed"),
    "converted": (),
    "duplicate": (),
    "dismissed": ("triaged",),
}
LEAD: Machine = {
    "new": ("contacted", "lost"),
    "contacted": ("qualified", "lost"),
    "qualified": ("appointment_set", "quoted", "lost"),
    "appointment_set": ("quoted", "qualified", "lost"),
    "quoted": ("won", "lost", "appointment_set"),
    "won": (),
    "lost": ("contacted",),
}
MACHINES = {
    "customer": (CUSTOMER, {"prospect", "active"}),
    "campaign": (CAMPAIGN, {"planned", "active"}),
    "booking_request": (BOOKING_REQUEST, {"new"}),
    "lead": (LEAD, {"new"}),
}


def add_location(connection: Connection, customer: UUID, number: str = "L1") -> UUID:
    """A location of a customer."""
    return add(
        connection,
        "service_location",
        customer_id=customer,
        location_number=number,
        address_line="1 Main St",
        city="Chicago",
        postal_code="60601",
        country_code="US",
    )


def add_contact(connection: Connection, customer: UUID, **given: Any) -> UUID:
    """A contact with a mobile, unless said otherwise."""
    columns = {"full_name": "Ada", "mobile_phone": "+13125550001", **given}
    return add(connection, "customer_contact", customer_id=customer, **columns)


def add_campaign(connection: Connection, code: str = "ADS", **given: Any) -> UUID:
    """An active campaign."""
    columns = {"name": "Ads", "channel": "search_ads", "status": "active", **given}
    return add(connection, "campaign", campaign_code=code, **columns)


@pytest.fixture
def customer(app: Connection) -> UUID:
    """An active customer."""
    return add_customer(app)


def _what_it_takes(connection: Connection, table: str, status: str) -> dict[str, Any]:
    """The columns that a row in a status must have and those that it must not."""
    if table == "booking_request":
        return {"dismissed_reason": "spam" if status == "dismissed" else None}
    if table == "lead":
        return {
            "won_at": "2026-01-01" if status == "won" else None,
            "lost_at": "2026-01-01" if status == "lost" else None,
            "lost_reason": "price" if status == "lost" else None,
        }
    return {}


def _imported(connection: Connection, table: str, status: str) -> UUID:
    """A row in any status, as the loader that bypasses row security writes it."""
    tenant = one(connection, "SELECT tenant_mgmt.current_business_id()")
    connection.execute("RESET ROLE")
    needs = _what_it_takes(connection, table, status)
    if table == "customer":
        made = add_customer(connection, "C9", status=status)
    elif table == "campaign":
        made = add_campaign(connection, status=status)
    else:
        needs["customer_id"] = owner = add_customer(connection, "C9")
        if table == "lead":
            needs["lead_number"] = "LD1"
        else:
            needs |= {"contact_name": "Ada", "contact_phone": "+13125550001"}
            needs["service_location_id"] = add_location(connection, owner)
        made = add(connection, table, status=status, **needs)
    become_app(connection, tenant)
    return made


def _set_status(connection: Connection, table: str, status: str) -> None:
    columns = {"status": status, **_what_it_takes(connection, table, status)}
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder()) for name in columns
    )
    connection.execute(
        sql.SQL("UPDATE hs.{} SET {}").format(sql.Identifier(table), assignments),
        list(columns.values()),
    )


@pytest.mark.parametrize(
    ("table", "before", "after"),
    [
        (table, before, after)
        for table, (machine, _) in MACHINES.items()
        for before, after in product(machine, machine)
        if before != after
    ],
)
def test_a_status_moves_as_its_machine_says(
    app: Connection, table: str, before: str, after: str
) -> None:
    _imported(app, table, before)
    if after in MACHINES[table][0][before]:
        _set_status(app, table, after)
        return
    with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
        _set_status(app, table, after)


@pytest.mark.parametrize(
    ("table", "status"),
    [
        (table, status)
        for table, (machine, initial) in MACHINES.items()
        for status in machine
        if status not in initial
    ],
)
def test_nothing_new_starts_in_the_middle(
    app: Connection, customer: UUID, table: str, status: str
) -> None:
    given: dict[str, Any] = {
        "customer": {"customer_number": "C2", "display_name": "Bob"},
        "campaign": {"campaign_code": "X", "name": "X", "channel": "radio"},
        "booking_request": {"contact_name": "Bob", "contact_phone": "+13125550001"},
        "lead": {"lead_number": "LD2", "customer_id": customer},
    }[table]
    given |= _what_it_takes(app, table, status)
    with pytest.raises(errors.CheckViolation, match="a new row cannot start as"):
        add(app, table, status=status, **given)


def merge(connection: Connection, customer: UUID, into: UUID) -> None:
    connection.execute(
        "UPDATE hs.customer SET status = 'archived', merged_into_customer_id = %s"
        " WHERE customer_id = %s",
        [into, customer],
    )


def test_who_is_merged_points_at_who_is_left(app: Connection, customer: UUID) -> None:
    merge(app, add_customer(app, "C2"), customer)
    merge(app, add_customer(app, "C3"), customer)


def test_nobody_is_merged_into_who_is_merged(app: Connection, customer: UUID) -> None:
    merge(app, merged := add_customer(app, "C2"), customer)
    with pytest.raises(errors.CheckViolation, match="C3 would be merged into C2"):
        merge(app, add_customer(app, "C3"), merged)


def test_who_others_were_merged_into_is_not_merged(app: Connection, customer: UUID) -> None:
    merge(app, add_customer(app, "C2"), customer)
    with pytest.raises(errors.CheckViolation, match="C2 would be merged into C1"):
        merge(app, customer, add_customer(app, "C3"))


def test_two_customers_are_not_merged_into_each_other(app: Connection, customer: UUID) -> None:
    other = add_customer(app, "C2")
    with pytest.raises(errors.CheckViolation, match="which is itself merged"):
        app.execute(
            "UPDATE hs.customer SET status = 'archived', merged_into_customer_id ="
            " CASE customer_id WHEN %s THEN %s::uuid ELSE %s END",
            [customer, other, customer],
        )


def test_a_merged_customer_stays_archived(app: Connection, customer: UUID) -> None:
    merge(app, add_customer(app, "C2"), customer)
    with pytest.raises(errors.CheckViolation, match="customer_merged_is_archived"):
        app.execute("UPDATE hs.customer SET status = 'active' WHERE status = 'archived'")


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"is_tax_exempt": True}, "exemption_has_certificate"),
        ({"credit_limit": "-0.01"}, "credit_limit_not_negative"),
        ({"display_name": " "}, "name_not_blank"),
    ],
)
def test_a_customer_holds_together(app: Connection, given: dict[str, Any], truth: str) -> None:
    columns = {"customer_number": "C1", "display_name": "Ada", **given}
    with pytest.raises(errors.CheckViolation, match=f"customer_{truth}"):
        add(app, "customer", **columns)


def test_a_contact_is_of_a_location_of_its_own_customer(app: Connection, customer: UUID) -> None:
    place = add_location(app, customer)
    add_contact(app, customer, service_location_id=place)
    with pytest.raises(errors.ForeignKeyViolation):
        add_contact(app, add_customer(app, "C2"), service_location_id=place)


def test_a_customer_has_one_primary_contact(app: Connection, customer: UUID) -> None:
    add_contact(app, customer, is_primary=True)
    add_contact(app, customer)
    with pytest.raises(errors.UniqueViolation, match="customer_contact_primary_idx"):
        add_contact(app, customer, is_primary=True)


@pytest.mark.parametrize("way", ["email", "mobile_phone", "landline_phone"])
def test_a_contact_can_be_reached_one_way(app: Connection, customer: UUID, way: str) -> None:
    value = "ada@example.com" if way == "email" else "+13125550001"
    add_contact(app, customer, **{"mobile_phone": None, way: value})


def test_a_contact_that_nobody_can_reach_is_none(app: Connection, customer: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="customer_contact_can_be_reached"):
        add_contact(app, customer, mobile_phone=None)


@pytest.mark.parametrize("year", [1699, 2101])
def test_a_house_was_built_in_our_times(app: Connection, customer: UUID, year: int) -> None:
    add_location(app, customer)
    with pytest.raises(errors.CheckViolation, match="service_location_built_in_our_times"):
        app.execute("UPDATE hs.service_location SET built_year = %s", [year])


def test_a_dialed_number_leads_to_one_active_campaign(app: Connection) -> None:
    add_campaign(app, "A", tracking_phone="+18005550001")
    add_campaign(app, "B", tracking_phone="+18005550001", status="planned")
    with pytest.raises(errors.UniqueViolation, match="campaign_tracking_phone_idx"):
        app.execute("UPDATE hs.campaign SET status = 'active'")


def _request(connection: Connection, **given: Any) -> UUID:
    columns = {"contact_name": "Ada", "contact_phone": "+13125550001", **given}
    return add(connection, "booking_request", **columns)


def test_a_request_is_taken_in_once(app: Connection) -> None:
    _request(app, external_ref="REQ-1")
    _request(app, external_ref="REQ-1", channel="portal")
    _request(app)
    _request(app)
    with pytest.raises(errors.UniqueViolation):
        _request(app, external_ref="REQ-1")


def test_a_converted_request_names_customer_and_location(app: Connection, customer: UUID) -> None:
    _request(app, customer_id=customer)
    with pytest.raises(errors.CheckViolation, match="converted_is_placed"), app.transaction():
        app.execute("UPDATE hs.booking_request SET status = 'converted'")
    app.execute(
        "UPDATE hs.booking_request SET status = 'converted', service_location_id = %s",
        [add_location(app, customer)],
    )


def test_a_request_is_for_a_location_of_its_customer(app: Connection, customer: UUID) -> None:
    place = add_location(app, customer)
    with pytest.raises(errors.ForeignKeyViolation):
        _request(app, customer_id=add_customer(app, "C2"), service_location_id=place)


def _lead(connection: Connection, customer: UUID | None) -> UUID:
    return add(connection, "lead", lead_number="LD1", customer_id=customer)


def test_who_is_not_to_be_serviced_gets_nothing_new(app: Connection, customer: UUID) -> None:
    app.execute("UPDATE hs.customer SET status = 'do_not_service'")
    with pytest.raises(errors.CheckViolation, match="customer C1 is not to be serviced"):
        _lead(app, customer)


def test_who_is_merged_gets_nothing_new(app: Connection, customer: UUID) -> None:
    merge(app, customer, add_customer(app, "C2"))
    with pytest.raises(errors.CheckViolation, match="customer C1 is merged into another"):
        _lead(app, customer)


def test_history_of_who_is_no_longer_serviced_is_imported(
    admin: Connection, app: Connection, customer: UUID
) -> None:
    app.execute("UPDATE hs.customer SET status = 'do_not_service'")
    admin.execute("RESET ROLE")
    _lead(admin, customer)


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"lost_reason": "price"}, "lead_lost_has_reason"),
        ({"won_at": "2026-01-01"}, "lead_won_has_time"),
        ({"lost_at": "2026-01-01"}, "lead_lost_has_time"),
        ({"probability_pct": 101}, "lead_probability_bounded"),
    ],
)
def test_an_open_lead_is_neither_won_nor_lost(
    app: Connection, customer: UUID, given: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=truth):
        add(app, "lead", lead_number="LD1", customer_id=customer, **given)


def test_nobody_wins_a_lead_of_nobody(app: Connection) -> None:
    _lead(app, None)
    for status in ("contacted", "qualified", "quoted"):
        _set_status(app, "lead", status)
    with pytest.raises(errors.CheckViolation, match="lead_won_has_customer"):
        _set_status(app, "lead", "won")


SAID = [
    {"speaker": "agent", "start_second": 0, "text": "Thank you for calling."},
    {"speaker": "caller", "start_second": 10, "text": "The price? My AC is 12 years old. PRICE?"},
    {"speaker": "agent", "start_second": 40, "text": "The price is $89.50, a pricey capacitor."},
]


def call(connection: Connection, **given: Any) -> UUID:
    """A call of 100 seconds that was answered after 10 and booked, unless said otherwise."""
    columns = {
        "direction": "inbound",
        "dialed_phone": "+18005550001",
        "outcome": "booked",
        "started_at": "2026-06-15 10:00:00Z",
        "answered_at": "2026-06-15 10:00:10Z",
        "ended_at": "2026-06-15 10:01:40Z",
        **given,
    }
    return add(connection, "call_record", **columns)


def test_a_call_rings_and_is_talked(app: Connection) -> None:
    call(app)
    found = app.execute("SELECT ring_seconds, talk_seconds FROM hs.call_record").fetchone()
    assert found == (10, 90)


def test_a_call_that_nobody_answers_only_rings(app: Connection) -> None:
    call(app, answered_at=None, outcome="abandoned")
    found = app.execute("SELECT ring_seconds, talk_seconds FROM hs.call_record").fetchone()
    assert found == (100, 0)


def test_a_call_that_lasts_has_no_outcome_yet(app: Connection) -> None:
    call(app, ended_at=None, outcome=None)
    found = app.execute("SELECT ring_seconds, talk_seconds FROM hs.call_record").fetchone()
    assert found == (10, None)


@pytest.mark.parametrize(
    ("given", "truth"),
    [
        ({"ended_at": "2026-06-15 09:59:59Z"}, "times_in_order"),
        ({"answered_at": "2026-06-15 10:02:00Z"}, "times_in_order"),
        ({"outcome": "not_booked"}, "unbooked_has_reason"),
        ({"unbooked_reason": "price"}, "only_unbooked_has_reason"),
        ({"answered_at": None}, "booked_was_answered"),
        ({"outcome": "abandoned"}, "abandoned_was_not_answered"),
        ({"ended_at": None}, "ended_has_outcome"),
        ({"sentiment_score": "1.1"}, "sentiment_bounded"),
    ],
)
def test_a_call_is_told_as_it_went(app: Connection, given: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=f"call_record_{truth}"):
        call(app, **given)


def test_the_share_of_the_agent_is_what_the_agent_talked(app: Connection) -> None:
    call(app, transcript=json.dumps(SAID))
    call(app)
    found = app.execute(
        "SELECT utterance_count, agent_seconds, caller_seconds, agent_talk_pct FROM hs.v_call_talk"
    ).fetchall()
    assert found == [(3, 60, 30, Decimal("66.7"))], "the last one lasts until the call ends"


def test_utterances_count_in_the_order_of_their_time(app: Connection) -> None:
    call(app, transcript=json.dumps(SAID[::-1]))
    assert one(app, "SELECT agent_seconds FROM hs.v_call_talk") == 60


def test_a_transcript_of_nothing_has_no_share(app: Connection) -> None:
    call(app, transcript="[]")
    found = app.execute("SELECT utterance_count, agent_talk_pct FROM hs.v_call_talk").fetchall()
    assert found == [(0, None)]


@pytest.mark.parametrize(
    ("keyword", "hits", "by_agent", "first"),
    [
        ("price", 3, 1, 10),
        ("Price", 3, 1, 10),
        ("thank you", 1, 1, 0),
        ("$89.50", 1, 1, 40),
        ("$89x50", 0, 0, None),
        ("pric", 0, 0, None),
        ("capacitor", 1, 1, 40),
        (".*", None, None, None),
    ],
)
def test_keywords_are_heard_as_whole_words(
    app: Connection, keyword: str, hits: int | None, by_agent: int | None, first: int | None
) -> None:
    key = call(app, transcript=json.dumps(SAID))
    call(app, transcript=json.dumps(SAID), started_at="2026-06-15 09:00:00Z")
    found = app.execute(
        "SELECT hit_count, agent_count, first_second FROM hs.call_keyword_hits(%s, %s)",
        [key, [keyword, keyword]],
    ).fetchall()
    assert found == ([] if hits is None else [(hits, by_agent, first)])


def test_the_booking_rate_is_of_those_that_could_be_booked(app: Connection) -> None:
    campaign = add_campaign(app, spend_to_date_amount=500)
    add_campaign(app, "IDLE")
    for outcome, reason, times in (
        ("booked", None, 2),
        ("not_booked", "price", 1),
        ("excused", None, 1),
        ("voicemail", None, 1),
    ):
        for _ in range(times):
            call(app, campaign_id=campaign, outcome=outcome, unbooked_reason=reason)
    call(app, campaign_id=campaign, direction="outbound")
    found = app.execute(
        "SELECT call_count, bookable_count, booked_count, missed_count, booking_rate_pct,"
        " cost_per_booking FROM hs.v_booking_rate ORDER BY campaign_code"
    ).fetchall()
    assert found == [(5, 3, 2, 1, Decimal("66.7"), 250), (0, 0, 0, 0, None, None)]
