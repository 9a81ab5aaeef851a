"""Notifications: who is told, when, and who is not."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection


def one(connection: Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else None


@pytest.fixture
def category(admin: Connection, tenant: UUID, account: UUID) -> UUID:
    """A kind of message with one active template, `shift_changed`."""
    found: UUID = one(
        admin,
        "INSERT INTO system_core.notification_category"
        " (business_id, code, name, legal_basis, default_channels)"
        " VALUES (%s, 'shift', 'Shifts', 'transactional', '{email}')"
        " RETURNING notification_category_id",
        tenant,
    )
    admin.execute(
        "INSERT INTO system_core.notification_template (business_id, notification_category_id,"
        " code, name, status, activated_at)"
        " VALUES (%s, %s, 'shift_changed', 'Your shift changed', 'active', now())",
        [tenant, found],
    )
    return found


def _prefer(connection: Connection, tenant: UUID, account: UUID, category: UUID, what: str) -> None:
    connection.execute(
        f"INSERT INTO system_core.notification_preference (business_id, user_account_id,"
        f" notification_category_id, channel, {what.partition('=')[0]})"
        f" VALUES (%s, %s, %s, 'email', {what.partition('=')[2]})".encode(),
        [tenant, account, category],
    )


def _dispatch(connection: Connection, account: UUID) -> UUID | None:
    found: UUID | None = one(
        connection,
        "SELECT system_core.dispatch_notification('shift_changed', %s, '{\"shift\": 1}')",
        account,
    )
    return found


def test_a_message_is_queued_with_the_words_of_its_template(
    category: UUID, account: UUID, app: Connection
) -> None:
    queued = _dispatch(app, account)
    row = app.execute(
        "SELECT subject, state, merge_data ->> 'shift' FROM system_core.notification"
        " WHERE notification_id = %s",
        [queued],
    ).fetchone()
    assert row == ("Your shift changed", "pending", "1")


def test_an_unknown_template_is_refused(category: UUID, account: UUID, app: Connection) -> None:
    with pytest.raises(errors.NoDataFound, match="no active template nothing"):
        app.execute("SELECT system_core.dispatch_notification('nothing', %s, '{}')", [account])


def test_who_opted_out_is_not_told(
    category: UUID, account: UUID, tenant: UUID, app: Connection
) -> None:
    _prefer(app, tenant, account, category, "is_opted_in, opted_out_at=false, now()")
    assert _dispatch(app, account) is None


def test_a_mandatory_category_cannot_be_opted_out_of(
    category: UUID, account: UUID, tenant: UUID, app: Connection
) -> None:
    app.execute("UPDATE system_core.notification_category SET is_mandatory = true")
    with pytest.raises(errors.CheckViolation, match="mandatory category"):
        _prefer(app, tenant, account, category, "is_opted_in, opted_out_at=false, now()")


def test_marketing_is_never_mandatory(category: UUID, app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="marketing_is_optional"):
        app.execute(
            "UPDATE system_core.notification_category"
            " SET is_mandatory = true, legal_basis = 'marketing'"
        )


def test_in_quiet_hours_a_message_is_held_until_they_end(
    category: UUID, account: UUID, tenant: UUID, app: Connection
) -> None:
    span = "(now() - interval '1 hour')::time, (now() + interval '1 hour')::time"
    app.execute("SET LOCAL timezone = 'UTC'")
    _prefer(app, tenant, account, category, f"quiet_from, quiet_until={span}")
    queued = _dispatch(app, account)
    row = app.execute(
        "SELECT state, scheduled_for > now() FROM system_core.notification"
        " WHERE notification_id = %s",
        [queued],
    ).fetchone()
    assert row == ("held_quiet_hours", True)


def test_the_throttle_counts_messages_of_the_hour(
    category: UUID, account: UUID, app: Connection
) -> None:
    app.execute("UPDATE system_core.notification_category SET throttle_per_hour = 2")
    assert [_dispatch(app, account) is not None for _ in range(3)] == [True, True, False]


def test_a_batch_is_claimed_once(category: UUID, account: UUID, app: Connection) -> None:
    queued = _dispatch(app, account)
    claim = "SELECT notification_id FROM system_core.next_delivery_batch('email', 10)"
    assert app.execute(claim).fetchall() == [(queued,)]
    assert app.execute(claim).fetchall() == []


def test_a_delivered_message_does_not_become_pending_again(
    category: UUID, account: UUID, app: Connection
) -> None:
    queued = _dispatch(app, account)
    move = "UPDATE system_core.notification SET state = %s WHERE notification_id = %s"
    for state in ("dispatched", "delivered"):
        app.execute(move, [state, queued])
    with pytest.raises(errors.CheckViolation, match="delivered cannot become pending"):
        app.execute(move, ["pending", queued])


def test_a_template_without_approved_words_is_not_activated(
    category: UUID, tenant: UUID, account: UUID, app: Connection
) -> None:
    with pytest.raises(errors.CheckViolation, match="no approved wording"):
        app.execute(
            "INSERT INTO system_core.notification_template (business_id,"
            " notification_category_id, code, name, status, activated_at)"
            " VALUES (%s, %s, 'other', 'Other', 'active', now())",
            [tenant, category],
        )


def test_a_hard_bounce_keeps_further_messages_from_the_address(
    category: UUID, account: UUID, tenant: UUID, app: Connection
) -> None:
    queued = _dispatch(app, account)
    endpoint, channel = _sender(app, tenant, account)
    _attempt(app, tenant, queued, endpoint, channel, "bounced", "m1")
    assert one(app, "SELECT bounce_state FROM system_core.notification_endpoint") == "hard_bounced"
    assert one(app, "SELECT reason FROM system_core.notification_suppression") == "hard_bounce"
    claim = "SELECT count(*) FROM system_core.next_delivery_batch('email', 10)"
    assert one(app, claim) == 0


def test_an_address_that_bounced_is_not_tried_again(
    category: UUID, account: UUID, tenant: UUID, app: Connection
) -> None:
    queued = _dispatch(app, account)
    endpoint, channel = _sender(app, tenant, account)
    _attempt(app, tenant, queued, endpoint, channel, "bounced", "m1")
    with pytest.raises(errors.CheckViolation, match="is not written to: hard_bounced"):
        _attempt(app, tenant, queued, endpoint, channel, "sent", "m2")


def test_a_message_id_of_the_provider_occurs_once_a_day(
    category: UUID, account: UUID, tenant: UUID, app: Connection
) -> None:
    queued = _dispatch(app, account)
    endpoint, channel = _sender(app, tenant, account)
    _attempt(app, tenant, queued, endpoint, channel, "sent", "m1")
    with pytest.raises(errors.UniqueViolation, match="m1"):
        _attempt(app, tenant, queued, endpoint, channel, "sent", "m1")


def test_merge_fields_are_described(category: UUID, account: UUID, app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="merge field"):
        app.execute(
            'UPDATE system_core.notification_template SET merge_fields = \'[{"name": "x"}]\''
        )


def _sender(connection: Connection, tenant: UUID, account: UUID) -> tuple[UUID, UUID]:
    """An address of the person and a sender account, both for e-mail."""
    endpoint = one(
        connection,
        "INSERT INTO system_core.notification_endpoint (business_id, user_account_id, channel,"
        " address, address_hash, is_primary)"
        " VALUES (%s, %s, 'email', 'a@b.example', sha256('a@b.example'), true)"
        " RETURNING notification_endpoint_id",
        tenant,
        account,
    )
    channel = one(
        connection,
        "INSERT INTO system_core.notification_channel (business_id, channel, provider,"
        " sender_identity, credential_ref)"
        " VALUES (%s, 'email', 'p', 'x@y.example', 'vault:mail/p')"
        " RETURNING notification_channel_id",
        tenant,
    )
    return endpoint, channel


def _attempt(
    connection: Connection,
    tenant: UUID,
    queued: UUID | None,
    endpoint: UUID,
    channel: UUID,
    status: str,
    message_id: str,
) -> None:
    connection.execute(
        "INSERT INTO system_core.notification_delivery (business_id, notification_id,"
        " notification_endpoint_id, notification_channel_id, channel, status,"
        " provider_message_id, attempted_at)"
        " VALUES (%s, %s, %s, %s, 'email', %s, %s, now() + random() * interval '1 millisecond')",
        [tenant, queued, endpoint, channel, status, message_id],
    )
