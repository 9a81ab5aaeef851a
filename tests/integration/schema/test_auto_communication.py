"""Machines write to whom agreed and when it is day; threads know whose turn it is."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.conftest import become_app
from tests.integration.schema.rows import row
from tests.integration.schema.test_auto_appointments import allowed
from tests.integration.schema.test_hs_organization import one

NOON = "2026-05-04 17:00+00"
"""In Chicago."""
THREAD: dict[str, set[str]] = {
    "open": {"waiting_customer", "waiting_shop", "closed"},
    "waiting_customer": {"waiting_shop", "closed"},
    "waiting_shop": {"waiting_customer", "closed"},
    "closed": {"waiting_shop", "waiting_customer"},
}
REMINDER: dict[str, set[str]] = {
    "pending": {"sent", "booked", "done", "lapsed", "suppressed"},
    "sent": {"booked", "done", "lapsed", "suppressed"},
    "booked": {"sent", "pending", "done", "lapsed"},
    "done": set(),
    "lapsed": {"booked", "done"},
    "suppressed": {"pending", "done"},
}
RECOVERY: dict[str, set[str]] = {"none": {"open"}, "open": {"resolved"}, "resolved": {"open"}}


@pytest.fixture
def contact(app: Connection) -> UUID:
    """A contact of a customer."""
    return row(app, "auto.customer_contact", full_name="Grace")


def open_thread(connection: Connection, contact: UUID | None, **given: Any) -> UUID:
    columns = {"channel": "sms", "opened_at": "2026-05-01 12:00+00", **given}
    return row(connection, "auto.conversation", customer_contact_id=contact, **columns)


def agree(connection: Connection, contact: UUID, decision: str = "granted", **given: Any) -> None:
    columns = {
        "channel": "sms",
        "purpose": "transactional",
        "captured_at": "2026-01-01",
        "evidence_text": "[x]",
        **given,
    }
    row(
        connection,
        "auto.contact_consent",
        customer_contact_id=contact,
        decision=decision,
        **columns,
    )


def write(connection: Connection, thread: UUID, at: str = NOON, **given: Any) -> UUID:
    """A text of a person of the shop; columns as given."""
    columns = {"direction": "outbound", "message_kind": "text", **given}
    return row(connection, "auto.message", conversation_id=thread, sent_at=at, **columns)


def automate(connection: Connection, thread: UUID, at: str = NOON, **given: Any) -> UUID:
    return write(connection, thread, at, is_automated=True, **given)


# Consent and quiet hours.


def test_a_machine_texts_who_agreed(app: Connection, contact: UUID) -> None:
    thread = open_thread(app, contact)
    with pytest.raises(errors.CheckViolation, match="Grace gave no consent"), app.transaction():
        automate(app, thread)
    write(app, thread)
    agree(app, contact)
    automate(app, thread)
    agree(app, contact, "revoked", captured_at="2026-05-05")
    automate(app, thread)
    with pytest.raises(errors.CheckViolation, match="gave no consent to transactional"):
        automate(app, thread, "2026-05-06 17:00+00")


@pytest.mark.parametrize("purpose", ["marketing", "review_request"])
def test_advertising_needs_a_consent_of_its_own(
    app: Connection, contact: UUID, purpose: str
) -> None:
    thread = open_thread(app, contact)
    agree(app, contact)
    with pytest.raises(errors.CheckViolation, match=f"to {purpose} messages"), app.transaction():
        automate(app, thread, purpose=purpose)
    agree(app, contact, purpose=purpose)
    automate(app, thread, purpose=purpose)
    app.execute("UPDATE auto.customer_contact SET unsubscribed_at = '2026-05-01'")
    automate(app, thread)
    with pytest.raises(errors.CheckViolation, match=f"to {purpose} messages"):
        automate(app, thread, purpose=purpose)


@pytest.mark.parametrize(
    ("kind", "channel", "asked"),
    [
        ("text", "sms", "sms"),
        ("mms", "email", "sms"),
        ("email", "sms", "email"),
        ("call", "sms", "voice"),
        ("voicemail", "phone", "voice"),
        ("status_update", "email", "email"),
        ("estimate_link", "phone", "voice"),
        ("payment_link", "sms", "sms"),
    ],
)
def test_consent_is_asked_of_the_channel_of_the_message(
    app: Connection, contact: UUID, kind: str, channel: str, asked: str
) -> None:
    thread = open_thread(app, contact, channel=channel)
    for other in {"sms", "email", "voice"} - {asked}:
        agree(app, contact, channel=other)
    with pytest.raises(errors.CheckViolation, match=f"messages by {asked}"), app.transaction():
        automate(app, thread, message_kind=kind)
    agree(app, contact, channel=asked)
    automate(app, thread, message_kind=kind)


@pytest.mark.parametrize("channel", ["portal", "web_chat"])
def test_who_opened_the_portal_is_answered_there(app: Connection, channel: str) -> None:
    automate(app, open_thread(app, None, channel=channel), message_kind="status_update")


def test_nobody_agreed_for_an_unknown_contact(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="an unknown contact gave no consent"):
        automate(app, open_thread(app, None))


@pytest.mark.parametrize(
    ("local", "quiet"),
    [("07:59:59", True), ("08:00", False), ("20:59:59.9", False), ("21:00", True)],
)
def test_machines_do_not_text_at_night(
    app: Connection, contact: UUID, local: str, quiet: bool
) -> None:
    thread = open_thread(app, contact)
    agree(app, contact)
    agree(app, contact, channel="email")
    at = f"2026-05-04 {local} America/Chicago"
    automate(app, thread, at, message_kind="email")
    write(app, thread, at)
    if quiet:
        with pytest.raises(errors.CheckViolation, match="quiet hours"):
            automate(app, thread, at)
    else:
        automate(app, thread, at)


def test_the_clock_is_that_of_the_shop_of_the_order(app: Connection, contact: UUID) -> None:
    shop = row(app, "auto.shop", timezone="America/Los_Angeles")
    order = row(app, "auto.repair_order", shop_id=shop)
    thread = open_thread(app, contact, repair_order_id=order)
    agree(app, contact)
    with pytest.raises(errors.CheckViolation, match="it is 07:00 at the recipient"):
        automate(app, thread, "2026-05-04 14:00+00")


def test_history_is_imported_as_it_was(app: Connection, contact: UUID) -> None:
    thread = open_thread(app, contact)
    app.execute("RESET ROLE")
    automate(app, thread, "2026-05-04 08:00+00")
    assert one(app, "SELECT count(*) FROM auto.message") == 1


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"direction": "inbound", "is_automated": True}, "automated_is_outbound"),
        ({"call_seconds": 10}, "seconds_only_of_calls"),
        ({"message_kind": "call", "call_seconds": -1}, "seconds_not_negative"),
        ({"delivery_status": "failed"}, "failed_has_code"),
        ({"sentiment_score": 2}, "sentiment_bounded"),
    ],
)
def test_a_message_is_plausible(
    app: Connection, contact: UUID, columns: dict[str, Any], truth: str
) -> None:
    thread = open_thread(app, contact)
    with pytest.raises(errors.CheckViolation, match=f"message_{truth}"):
        write(app, thread, **columns)


def test_a_carrier_reports_a_message_once(app: Connection, contact: UUID) -> None:
    thread = open_thread(app, contact)
    write(app, thread, provider_ref="SM1")
    with pytest.raises(errors.UniqueViolation, match="provider_ref"):
        write(app, thread, provider_ref="SM1")


@pytest.mark.parametrize(
    "change", ["UPDATE auto.message SET body_text = ''", "DELETE FROM auto.message"]
)
def test_what_was_written_stays(app: Connection, contact: UUID, change: str) -> None:
    write(app, open_thread(app, contact))
    app.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match=r"auto\.message is append only"):
        app.execute(change.encode())


# Threads.


def state_of(connection: Connection, thread: UUID) -> tuple[Any, ...]:
    found = connection.execute(
        "SELECT status, unread_count, first_response_seconds FROM auto.conversation"
        " WHERE conversation_id = %s",
        [thread],
    ).fetchone()
    assert found
    return found


def test_a_thread_knows_whose_turn_it_is(app: Connection, contact: UUID) -> None:
    thread, other = open_thread(app, contact), open_thread(app, contact, channel="email")
    agree(app, contact)
    write(app, thread, "2026-05-04 17:00+00", direction="inbound")
    write(app, thread, "2026-05-04 17:01+00", direction="inbound")
    automate(app, thread, "2026-05-04 17:02+00")
    assert state_of(app, thread) == ("waiting_shop", 2, None), "a machine is no answer"
    write(app, thread, "2026-05-04 17:10+00")
    assert state_of(app, thread) == ("waiting_customer", 0, 600)
    write(app, thread, "2026-05-04 18:00+00", direction="inbound")
    write(app, thread, "2026-05-04 18:30+00")
    assert state_of(app, thread) == ("waiting_customer", 0, 600), "the first response stays"
    assert state_of(app, other) == ("open", 0, None)
    times = app.execute(
        "SELECT last_inbound_at = '2026-05-04 18:00+00', last_outbound_at = '2026-05-04 18:30+00'"
        " FROM auto.conversation WHERE conversation_id = %s",
        [thread],
    ).fetchone()
    assert times == (True, True)


def test_many_messages_in_one_statement_count_alike(app: Connection, contact: UUID) -> None:
    thread = open_thread(app, contact)
    app.execute(
        "INSERT INTO auto.message (business_id, conversation_id, sent_at, direction, message_kind)"
        " SELECT tenant_mgmt.current_business_id(), %s, '2026-05-04 17:00+00'::timestamptz"
        " + no * interval '1 minute', CASE WHEN no = 2 THEN 'outbound' ELSE 'inbound' END, 'text'"
        " FROM generate_series(0, 4) AS no",
        [thread],
    )
    assert state_of(app, thread) == ("waiting_shop", 2, 120)


def test_a_message_reopens_a_closed_thread(app: Connection, contact: UUID) -> None:
    thread = open_thread(app, contact)
    app.execute("UPDATE auto.conversation SET status = 'closed'")
    assert one(app, "SELECT closed_at = now() FROM auto.conversation")
    write(app, thread, direction="inbound")
    assert state_of(app, thread)[0] == "waiting_shop"
    assert one(app, "SELECT closed_at IS NULL FROM auto.conversation")


def test_a_contact_has_one_open_thread_on_a_channel(app: Connection, contact: UUID) -> None:
    open_thread(app, contact)
    open_thread(app, contact, channel="email")
    with pytest.raises(errors.UniqueViolation, match="conversation_open_idx"), app.transaction():
        open_thread(app, contact)
    app.execute("UPDATE auto.conversation SET status = 'closed'")
    open_thread(app, contact)


THREAD_NEEDS = {
    **dict.fromkeys(THREAD, ", closed_at = NULL"),
    "closed": ", closed_at = now()",
}


@pytest.mark.parametrize("before", THREAD)
def test_a_thread_goes_to_and_fro(app: Connection, contact: UUID, before: str) -> None:
    open_thread(app, contact)
    moves = {
        after
        for after in THREAD
        if after != before and allowed(app, "auto.conversation", before, after, THREAD_NEEDS)
    }
    assert moves == THREAD[before]


# Reviews and retention.


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"star_rating": 6}, "stars_bounded"),
        ({"star_rating": None}, "rates"),
        ({"nps_score": 11}, "nps_bounded"),
        ({"nps_score": 9.5}, "nps_bounded"),
        ({"source": "google", "nps_score": 9}, "nps_only_of_surveys"),
        ({"requested_at": "2026-05-05"}, "received_after_request"),
        ({"reply_text": "Thanks"}, "reply_is_whole"),
        ({"reply_text": "Thanks", "replied_at": "2026-05-01"}, "reply_after_receipt"),
    ],
)
def test_a_review_is_plausible(app: Connection, columns: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=f"customer_review_{truth}"):
        row(app, "auto.customer_review", **{"received_at": NOON, "source": "survey", **columns})


@pytest.mark.parametrize(
    ("rating", "recovery"),
    [
        ({"star_rating": 2}, "open"),
        ({"star_rating": 3}, "none"),
        ({"star_rating": None, "nps_score": 6}, "open"),
        ({"star_rating": None, "nps_score": 7}, "none"),
    ],
)
def test_the_unhappy_are_called(app: Connection, rating: dict[str, Any], recovery: str) -> None:
    row(app, "auto.customer_review", **{"source": "survey", **rating})
    assert one(app, "SELECT recovery_status FROM auto.customer_review") == recovery


@pytest.mark.parametrize(("before", "after"), [(b, a) for b in RECOVERY for a in RECOVERY])
def test_a_recovery_is_resolved_once_it_is_open(app: Connection, before: str, after: str) -> None:
    row(app, "auto.customer_review")
    for status in {"none": (), "open": ("open",), "resolved": ("open", "resolved")}[before]:
        app.execute("UPDATE auto.customer_review SET recovery_status = %s", [status])
    move = "UPDATE auto.customer_review SET recovery_status = %s"
    if after in RECOVERY[before] | {before}:
        app.execute(move, [after])
        assert one(app, "SELECT recovery_status FROM auto.customer_review") == after
    else:
        with pytest.raises(errors.CheckViolation, match="cannot become"):
            app.execute(move, [after])


def test_retention_tells_who_may_not_come_back(app: Connection, tenant: UUID) -> None:
    customers = {
        "regular": ("12 months", "6 months", "0 months"),
        "lost": ("26 months", "20 months", "14 months"),
        "new": (),
    }
    for number, visits in customers.items():
        customer = row(app, "auto.customer", customer_number=number)
        app.execute("RESET ROLE")
        app.execute("SET LOCAL session_replication_role = replica")
        for ago in visits:
            row(
                app,
                "auto.repair_order",
                customer_id=customer,
                status="closed",
                opened_at=one(app, "SELECT now() - %s::interval", ago),
                closed_at=one(app, "SELECT now() - %s::interval", ago),
            )
        app.execute("SET LOCAL session_replication_role = origin")
        become_app(app, tenant)
    app.execute("RESET ROLE")
    app.execute("REFRESH MATERIALIZED VIEW auto.mv_customer_retention")
    become_app(app, tenant)
    found = {
        number: (visits, float(lapse) if lapse is not None else None)
        for number, visits, lapse in app.execute(
            "SELECT c.customer_number, r.visits, r.lapse_probability"
            " FROM auto.v_customer_retention AS r JOIN auto.customer AS c USING (customer_id)"
            " WHERE c.customer_number = ANY (%s)",
            [list(customers)],
        ).fetchall()
    }
    assert found["new"] == (0, None)
    assert found["regular"] == (3, 0)
    visits, lapse = found["lost"]
    assert visits == 3
    assert lapse is not None
    assert 0.6 < lapse < 0.8


# Reminders.


def test_a_vehicle_is_reminded_once_of_the_same_thing(app: Connection) -> None:
    vehicle = row(app, "auto.vehicle")
    columns = {"vehicle_id": vehicle, "reminder_kind": "recall"}
    row(app, "auto.service_reminder", **columns)
    row(app, "auto.service_reminder", **{**columns, "reminder_kind": "maintenance"})
    with pytest.raises(errors.UniqueViolation, match="reminder_open_idx"), app.transaction():
        row(app, "auto.service_reminder", **columns)
    app.execute("UPDATE auto.service_reminder SET status = 'lapsed'")
    row(app, "auto.service_reminder", **columns)


@pytest.mark.parametrize(
    ("columns", "truth"),
    [
        ({"due_on": None}, "is_due"),
        ({"due_odometer": 0}, "distances_positive"),
        ({"status": "booked"}, "booked_has_appointment"),
        ({"send_count": 7, "last_sent_at": NOON, "last_channel": "sms"}, "sends_bounded"),
        ({"send_count": 1, "last_channel": "sms"}, "sent_is_whole"),
        ({"last_channel": "sms"}, "sent_is_whole"),
        ({"reminder_kind": "fleet_pm"}, "pm_is_of_a_fleet"),
        ({"attributed_revenue_amount": 10}, "revenue_only_when_done"),
    ],
)
def test_a_reminder_is_plausible(app: Connection, columns: dict[str, Any], truth: str) -> None:
    with pytest.raises(errors.CheckViolation, match=f"service_reminder_{truth}"):
        row(app, "auto.service_reminder", **columns)


@pytest.mark.parametrize("before", REMINDER)
def test_a_reminder_is_sent_until_it_is_booked_or_lapses(app: Connection, before: str) -> None:
    row(
        app,
        "auto.service_reminder",
        booked_appointment_id=row(app, "auto.appointment"),
        send_count=1,
        last_sent_at=NOON,
        last_channel="sms",
    )
    moves = {
        after
        for after in REMINDER
        if after != before and allowed(app, "auto.service_reminder", before, after, {})
    }
    assert moves == REMINDER[before]


@pytest.mark.parametrize(
    ("due_on", "due_odometer", "daily", "predicted"),
    [
        ("2026-07-01", None, 30, "2026-07-01"),
        (None, 50300, 30, "2026-06-11"),
        ("2026-06-05", 50300, 30, "2026-06-05"),
        ("2026-07-01", 50300, 30, "2026-06-11"),
        (None, 49000, 30, "2026-06-01"),
        (None, 50300, 0, None),
        (None, 50301, 30, "2026-06-12"),
    ],
)
def test_it_is_due_by_what_comes_first(
    app: Connection, due_on: str | None, due_odometer: int | None, daily: int, predicted: str | None
) -> None:
    found = one(
        app,
        "SELECT auto.predict_due_on(%s::date, %s::integer, 50000, %s::numeric, '2026-06-01')::text",
        due_on,
        due_odometer,
        daily,
    )
    assert found == predicted


def drive(app: Connection, vehicle: UUID, days_ago: int, odometer: int) -> None:
    app.execute(
        "INSERT INTO auto.odometer_reading (business_id, vehicle_id, read_at, odometer, source)"
        " VALUES (tenant_mgmt.current_business_id(), %s, now() - make_interval(days => %s), %s,"
        " 'check_in')",
        [vehicle, days_ago, odometer],
    )


def test_a_reading_predicts_when_the_vehicle_is_due(app: Connection) -> None:
    vehicle = row(app, "auto.vehicle")
    row(app, "auto.service_reminder", vehicle_id=vehicle, due_on=None, due_odometer=52_000)
    drive(app, vehicle, 100, 48_000)
    assert one(app, "SELECT predicted_due_on FROM auto.service_reminder") is None
    drive(app, vehicle, 0, 51_000)
    found = app.execute(
        "SELECT daily_distance_avg, predicted_due_on - (now() AT TIME ZONE 'UTC')::date"
        " FROM auto.service_reminder"
    )
    assert found.fetchone() == (30, 34)


def test_a_suspect_reading_predicts_nothing(app: Connection) -> None:
    vehicle = row(app, "auto.vehicle")
    row(app, "auto.service_reminder", vehicle_id=vehicle, due_odometer=52_000)
    drive(app, vehicle, 100, 48_000)
    drive(app, vehicle, 0, 12_000)
    assert one(app, "SELECT daily_distance_avg FROM auto.service_reminder") is None
