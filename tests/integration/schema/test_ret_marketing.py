"""Messages obey consent, campaigns reach whom they mean, orders are credited once, and reviews are
those of buyers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.types.json import Jsonb

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.rows import imported, row

CAMPAIGN = {
    "draft": {"scheduled", "running", "cancelled"},
    "scheduled": {"draft", "running", "cancelled"},
    "running": {"paused", "finished", "cancelled"},
    "paused": {"running", "finished", "cancelled"},
    "finished": set(),
    "cancelled": set(),
}
MESSAGE = {
    "queued": {"sent", "suppressed"},
    "sent": {"delivered", "bounced", "opened", "clicked", "unsubscribed", "complained"},
    "delivered": {"opened", "clicked", "unsubscribed", "complained"},
    "opened": {"clicked", "unsubscribed", "complained"},
    "clicked": {"unsubscribed", "complained"},
    "unsubscribed": {"complained"},
    "bounced": set(),
    "complained": set(),
    "suppressed": set(),
}
REFERRAL = {
    "invited": {"joined", "rejected"},
    "joined": {"qualified", "rejected"},
    "qualified": {"rewarded", "rejected"},
    "rewarded": set(),
    "rejected": set(),
}
REVIEW = {
    "pending": {"published", "rejected", "flagged"},
    "published": {"pending", "flagged", "rejected"},
    "flagged": {"pending", "published", "rejected"},
    "rejected": {"pending"},
}
EARLY, LATE = "2026-05-01 10:00+00", "2026-05-02 10:00+00"
RUNNING = {"state": "running", "started_at": "2026-01-01"}


def found(connection: Connection, statement: str, *values: Any) -> Any:
    answer = connection.execute(statement.encode(), values).fetchone()
    return answer[0] if answer and len(answer) == 1 else answer


def change(connection: Connection, table: str, key: UUID, **to: Any) -> None:
    connection.execute(
        sql.SQL("UPDATE {} SET {} WHERE {} = {}").format(
            sql.Identifier("ret", table),
            sql.SQL(", ").join(
                sql.SQL("{} = {}").format(sql.Identifier(k), sql.Literal(v)) for k, v in to.items()
            ),
            sql.Identifier(f"{table}_id"),
            sql.Literal(key),
        )
    )


def value(connection: Connection, table: str, key: UUID, column: str) -> Any:
    return found(connection, f"SELECT {column} FROM ret.{table} WHERE {table}_id = %s", key)


def consent(
    connection: Connection, customer: UUID, decision: str = "granted", **given: Any
) -> UUID:
    return row(
        connection,
        "ret.customer_consent",
        **{
            "customer_id": customer,
            "purpose": "marketing",
            "contact_channel": "email",
            "decision": decision,
            **given,
        },
    )


def reader(connection: Connection, name: str = "ann", **given: Any) -> UUID:
    """A customer who agreed to get mail."""
    customer = row(connection, "ret.customer", email=f"{name}@example.com", **given)
    consent(connection, customer, decided_at="2026-01-01")
    return customer


def running(connection: Connection, **given: Any) -> UUID:
    return imported(connection, "ret.campaign", **{**RUNNING, **given})


def message(connection: Connection, customer: UUID, **given: Any) -> UUID:
    if "campaign_id" not in given:
        given["campaign_id"] = running(connection)
    return row(connection, "ret.campaign_message", customer_id=customer, **given)


def state_of(connection: Connection, made: UUID) -> Any:
    return value(connection, "campaign_message", made, "state")


class TestRules:
    """What no row may say."""

    @pytest.mark.parametrize(
        ("table", "columns", "truth"),
        [
            ("segment", {"segment_kind": "rule"}, "segment_kind_iff"),
            ("segment", {"rule_doc": Jsonb({"all": []})}, "segment_kind_iff"),
            ("segment", {"segment_kind": "rule", "rule_doc": Jsonb({})}, "rule_is_a_tree"),
            (
                "segment",
                {"segment_kind": "rfm", "refresh_every_minutes": 0},
                "refresh_positive",
            ),
            ("segment", {"refresh_every_minutes": 5}, "by_hand_is_not_refreshed"),
            ("segment", {"estimated_value": -1}, "figures_not_negative"),
            (
                "segment_member",
                {"entered_at": LATE, "left_at": EARLY},
                "leaves_after_entering",
            ),
            ("segment_member", {"entry_reason": "prediction"}, "predicted_has_score"),
            ("campaign", {"control_pct": 51}, "control_pct_bounded"),
            ("campaign", {"budget_amount": -1}, "budget_not_negative"),
            ("campaign", {"attribution_days": 0}, "attribution_positive"),
            ("campaign", {"started_at": EARLY}, "started_when_running"),
            ("campaign", {"finished_at": EARLY}, "finished_has_end"),
            ("campaign_message", {"opened_at": "2090-01-01"}, "not_sent_not_read"),
            ("campaign_message", {"link_clicked": "/sale"}, "link_was_clicked"),
            (
                "campaign_message",
                {"state": "suppressed", "cost_amount": 1},
                "suppressed_costs_nothing",
            ),
            ("referral", {"reward_amount": -1}, "reward_not_negative"),
            ("referral", {"reward_paid_at": LATE}, "rewarded_when_paid"),
            ("referral", {"reject_reason": "Same house"}, "rejected_has_reason"),
            ("referral", {"joined_at": "2090-01-01"}, "joined_is_somebody"),
            ("referral", {"qualified_at": "2090-01-01"}, "qualified_by_an_order"),
            ("product_review", {"rating": 0}, "rating_bounded"),
            ("product_review", {"rating": 6}, "rating_bounded"),
            ("product_review", {"is_verified_purchase": True}, "sales_order_line_id_iff"),
            ("product_review", {"helpful_count": -1}, "counts_not_negative"),
            ("product_review", {"photo_count": -1}, "counts_not_negative"),
            ("product_review", {"sentiment_score": 2}, "sentiment_bounded"),
            ("product_review", {"reply_text": "Thanks"}, "reply_has_time"),
            (
                "product_review",
                {"submitted_at": LATE, "reply_text": "Thanks", "replied_at": EARLY},
                "reply_follows",
            ),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, app: Connection, table: str, columns: dict[str, Any], truth: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=rf"{table}_.*{truth}"):
            row(app, f"ret.{table}", **columns)

    @pytest.mark.parametrize(
        ("table", "columns", "truth"),
        [
            ("campaign", {"state": "scheduled"}, "scheduled_has_time"),
            ("campaign", {"state": "running"}, "started_when_running"),
            ("campaign", {**RUNNING, "state": "finished"}, "finished_has_end"),
            (
                "campaign",
                {"state": "finished", "started_at": LATE, "finished_at": EARLY},
                "finished_at_follows_started_at",
            ),
            ("campaign", {**RUNNING, "campaign_kind": "broadcast"}, "broadcast_has_audience"),
            (
                "campaign",
                {**RUNNING, "campaign_kind": "welcome", "subject_line": None},
                "mail_has_subject",
            ),
            ("campaign_message", {"state": "sent", "cost_amount": -1}, "cost_not_negative"),
            ("campaign_message", {"state": "delivered"}, "state_has_time"),
            ("campaign_message", {"state": "opened"}, "state_has_time"),
            ("campaign_message", {"state": "clicked"}, "state_has_time"),
            *(
                (
                    "campaign_message",
                    {"state": "sent", "sent_at": LATE, column: EARLY},
                    truth,
                )
                for column, truth in [
                    ("delivered_at", "delivered_at_follows_sent_at"),
                    ("opened_at", "opened_after_sending"),
                    ("clicked_at", "clicked_after_sending"),
                ]
            ),
            ("campaign_conversion", {"credit_share": 0}, "credit_share_bounded"),
            (
                "campaign_conversion",
                {"attribution_model": "linear", "credit_share": 1.1},
                "credit_share_bounded",
            ),
            ("campaign_conversion", {"credit_share": 0.5}, "one_touch_takes_all"),
            ("campaign_conversion", {"touch_count": 0}, "was_touched"),
            ("campaign_conversion", {"revenue_credited": -1}, "figures_not_negative"),
            ("campaign_conversion", {"hours_to_convert": -1}, "figures_not_negative"),
            (
                "campaign_conversion",
                {"revenue_credited": 5, "margin_credited": 6},
                "margin_within_revenue",
            ),
            ("referral", {"state": "joined"}, "joined_is_somebody"),
            ("referral", {"state": "rejected"}, "rejected_has_reason"),
        ],
    )
    def test_not_even_an_import_may_say_it(
        self, app: Connection, table: str, columns: dict[str, Any], truth: str
    ) -> None:
        columns = {"campaign_kind": "welcome", **columns} if table == "campaign" else columns
        app.execute("RESET ROLE")
        with pytest.raises(errors.CheckViolation, match=rf"{table}_.*{truth}"):
            row(app, f"ret.{table}", **columns)

    @pytest.mark.parametrize(
        ("variants", "fits"),
        [
            ([{"code": "A", "share": 40}, {"code": "B", "share": 60}], True),
            ([{"code": "A", "share": 40}, {"code": "B", "share": 50}], False),
            ([{"code": "A", "share": 50}, {"code": "A", "share": 50}], False),
            ([{"code": "A", "share": 110}, {"code": "B", "share": -10}], False),
            ([{"share": 100}], False),
            ([], False),
            ({"code": "A", "share": 100}, False),
        ],
    )
    def test_variants_share_the_whole_audience(
        self, app: Connection, variants: Any, fits: bool
    ) -> None:
        assert found(app, "SELECT ret.variants_add_up(%s)", Jsonb(variants)) is fits

    def test_a_campaign_takes_no_variants_that_do_not_add_up(self, app: Connection) -> None:
        with pytest.raises(errors.CheckViolation, match="variants_add_up"):
            row(app, "ret.campaign", variants_doc=Jsonb([{"code": "A", "share": 40}]))


class TestStates:
    """Which state follows which."""

    @pytest.mark.parametrize("before", CAMPAIGN)
    @pytest.mark.parametrize("after", CAMPAIGN)
    def test_of_a_campaign(self, app: Connection, before: str, after: str) -> None:
        def times(state: str) -> dict[str, Any]:
            return {
                "scheduled_at": EARLY,
                "started_at": EARLY if state in ("running", "paused", "finished") else None,
                "finished_at": LATE if state == "finished" else None,
            }

        campaign = imported(
            app, "ret.campaign", campaign_kind="welcome", state=before, **times(before)
        )
        if after in CAMPAIGN[before] | {before}:
            change(app, "campaign", campaign, state=after, **times(after))
        else:
            with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
                change(app, "campaign", campaign, state=after, **times(after))

    @pytest.mark.parametrize("before", MESSAGE)
    @pytest.mark.parametrize("after", MESSAGE)
    def test_of_a_message(self, app: Connection, before: str, after: str) -> None:
        def times(state: str) -> dict[str, Any]:
            column = {"delivered": "delivered_at", "opened": "opened_at", "clicked": "clicked_at"}
            return {column[state]: LATE} if state in column else {}

        made = imported(
            app,
            "ret.campaign_message",
            customer_id=reader(app),
            campaign_id=running(app, campaign_kind="welcome"),
            state=before,
            sent_at=EARLY,
            **times(before),
        )
        if after in MESSAGE[before] | {before}:
            change(app, "campaign_message", made, state=after, **times(after))
            assert state_of(app, made) == after
        else:
            with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
                change(app, "campaign_message", made, state=after, **times(after))

    @pytest.mark.parametrize("before", REFERRAL)
    @pytest.mark.parametrize("after", REFERRAL)
    def test_of_a_referral(self, app: Connection, before: str, after: str) -> None:
        friend = row(app, "ret.customer")
        order = imported(
            app, "ret.sales_order", customer_id=friend, state="completed", placed_at=LATE
        )

        def facts(state: str) -> dict[str, Any]:
            joined = state in ("joined", "qualified", "rewarded")
            qualified = state in ("qualified", "rewarded")
            return {
                "referred_customer_id": friend if joined else None,
                "joined_at": LATE if joined else None,
                "first_order_id": order if qualified else None,
                "qualified_at": LATE if qualified else None,
                "reward_paid_at": LATE if state == "rewarded" else None,
                "reject_reason": "Same house" if state == "rejected" else None,
            }

        made = imported(app, "ret.referral", state=before, invited_at=EARLY, **facts(before))
        if after in REFERRAL[before] | {before}:
            change(app, "referral", made, state=after, **facts(after))
        else:
            with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
                change(app, "referral", made, state=after, **facts(after))

    @pytest.mark.parametrize("before", REVIEW)
    @pytest.mark.parametrize("after", REVIEW)
    def test_of_a_review(self, app: Connection, before: str, after: str) -> None:
        made = imported(app, "ret.product_review", moderation=before)
        if after in REVIEW[before] | {before}:
            change(app, "product_review", made, moderation=after)
        else:
            with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
                change(app, "product_review", made, moderation=after)

    @pytest.mark.parametrize(
        ("table", "given"),
        [
            ("campaign", {**RUNNING, "campaign_kind": "welcome"}),
            ("campaign_message", {"state": "sent"}),
            ("product_review", {"moderation": "published"}),
        ],
    )
    def test_nothing_starts_half_done(
        self, app: Connection, table: str, given: dict[str, Any]
    ) -> None:
        with pytest.raises(errors.CheckViolation, match="cannot start"):
            row(app, f"ret.{table}", **given)


class TestSegments:
    """Who is in a group."""

    def test_its_size_follows_its_members(self, app: Connection) -> None:
        segment = row(app, "ret.segment")
        first = row(app, "ret.segment_member", segment_id=segment, entered_at=EARLY)
        second = row(app, "ret.segment_member", segment_id=segment, entered_at=EARLY)
        assert value(app, "segment", segment, "member_count") == 2
        change(app, "segment_member", first, left_at=LATE)
        assert value(app, "segment", segment, "member_count") == 1
        app.execute("DELETE FROM ret.segment_member WHERE segment_member_id = %s", [second])
        assert value(app, "segment", segment, "member_count") == 0

    def test_nobody_is_in_it_twice_at_once(self, app: Connection) -> None:
        member = {"segment_id": row(app, "ret.segment"), "customer_id": row(app, "ret.customer")}
        left = row(app, "ret.segment_member", entered_at=EARLY, **member)
        change(app, "segment_member", left, left_at=LATE)
        row(app, "ret.segment_member", entered_at=LATE, **member)
        with pytest.raises(errors.UniqueViolation, match="segment_id_customer_id_idx"):
            row(app, "ret.segment_member", entered_at="2026-05-03", **member)

    def test_a_membership_does_not_move(self, app: Connection) -> None:
        member = row(app, "ret.segment_member")
        with pytest.raises(errors.CheckViolation, match="stays that of its customer"):
            change(app, "segment_member", member, customer_id=row(app, "ret.customer"))

    @pytest.mark.parametrize(
        ("rule", "fits"),
        [
            ({"fact": "order_count", "op": ">=", "value": 3}, True),
            ({"fact": "order_count", "op": ">", "value": 3}, False),
            ({"fact": "order_count", "op": "<", "value": 3}, False),
            ({"fact": "order_count", "op": "<=", "value": 3}, True),
            ({"fact": "order_count", "value": 3}, True),
            ({"fact": "lifetime_value", "op": ">", "value": 99.5}, True),
            ({"fact": "days_since_order", "op": "<=", "value": 30}, True),
            ({"fact": "days_since_order", "op": ">", "value": 30}, False),
            ({"fact": "days_as_customer", "op": ">=", "value": 100}, True),
            ({"fact": "return_rate_pct", "op": "<", "value": 50}, False),
            ({"fact": "acquisition_channel", "value": "web"}, True),
            ({"fact": "customer_kind", "value": "company"}, False),
            ({"fact": "customer_group", "value": "VIP"}, True),
            ({"fact": "may_contact", "value": "email"}, True),
            ({"fact": "may_contact", "value": "sms"}, False),
            ({"fact": "bought_category", "value": "LAMPS"}, True),
            ({"fact": "bought_category", "value": "TABLES"}, False),
            ({"all": []}, True),
            ({"any": []}, False),
            (
                {
                    "all": [
                        {"fact": "order_count", "op": ">", "value": 1},
                        {"not": {"fact": "customer_kind", "value": "company"}},
                    ]
                },
                True,
            ),
            (
                {
                    "any": [
                        {"fact": "order_count", "value": 9},
                        {"fact": "customer_group", "value": "VIP"},
                    ]
                },
                True,
            ),
        ],
    )
    def test_a_rule_is_read(self, app: Connection, rule: dict[str, Any], fits: bool) -> None:
        customer = reader(
            app,
            order_count=3,
            first_order_at=EARLY,
            last_order_at="2026-05-12 10:00+00",
            lifetime_value=100,
            acquisition_channel="web",
            customer_group_id=row(app, "ret.customer_group", group_code="VIP"),
            created_at="2026-01-01",
        )
        variant = row(app, "ret.product_variant")
        row(
            app,
            "ret.product_category",
            product_id=value(app, "product_variant", variant, "product_id"),
            category_id=row(app, "ret.category", category_code="LAMPS"),
        )
        order = row(app, "ret.sales_order", customer_id=customer, placed_at=EARLY)
        row(app, "ret.sales_order_line", sales_order_id=order, product_variant_id=variant)
        assert (
            found(
                app,
                "SELECT ret.fits_segment(c, %s, '2026-06-01 10:00+00') FROM ret.customer AS c"
                " WHERE c.customer_id = %s",
                Jsonb(rule),
                customer,
            )
            is fits
        )

    def test_a_fact_that_nobody_knows_is_refused(self, app: Connection) -> None:
        customer = row(app, "ret.customer")
        with pytest.raises(errors.InvalidParameterValue, match="shoe_size"):
            app.execute(
                "SELECT ret.fits_segment(c, %s, now()) FROM ret.customer AS c"
                " WHERE c.customer_id = %s",
                [Jsonb({"fact": "shoe_size", "value": 40}), customer],
            )

    def test_a_refresh_takes_in_who_fits_and_lets_go_who_does_not(self, app: Connection) -> None:
        bought = {"order_count": 1, "first_order_at": EARLY, "last_order_at": EARLY}
        buyer, other = row(app, "ret.customer", **bought), row(app, "ret.customer")
        row(app, "ret.customer", **bought, status="active")
        segment = row(
            app,
            "ret.segment",
            segment_kind="rule",
            rule_doc=Jsonb({"fact": "order_count", "op": ">", "value": 0}),
        )
        row(app, "ret.segment_member", segment_id=segment, customer_id=other, entered_at=EARLY)
        assert found(app, "SELECT ret.refresh_segment(%s)", segment) == 3
        assert found(app, "SELECT ret.refresh_segment(%s)", segment) == 0
        inside = app.execute(
            "SELECT customer_id FROM ret.segment_member WHERE segment_id = %s AND left_at IS NULL",
            [segment],
        ).fetchall()
        assert (buyer,) in inside
        assert (other,) not in inside
        assert value(app, "segment", segment, "member_count") == 2
        assert value(app, "segment", segment, "refreshed_at") is not None

    def test_a_segment_by_hand_is_not_refreshed(self, app: Connection) -> None:
        with pytest.raises(errors.CheckViolation, match="not one by rule"):
            app.execute("SELECT ret.refresh_segment(%s)", [row(app, "ret.segment")])

    def test_a_segment_that_is_not_there_is_not_refreshed(self, app: Connection) -> None:
        with pytest.raises(errors.NoDataFound, match="no such segment"):
            app.execute("SELECT ret.refresh_segment(gen_random_uuid())")


@pytest.fixture
def welcome(app: Connection) -> UUID:
    return running(app, campaign_kind="welcome")


class TestConsent:
    """Nobody gets what they did not agree to."""

    def test_who_agreed_gets_mail(self, app: Connection, welcome: UUID) -> None:
        assert state_of(app, message(app, reader(app), campaign_id=welcome)) == "queued"

    def test_who_did_not_agree_gets_none(self, app: Connection, welcome: UUID) -> None:
        customer = row(app, "ret.customer", email="bob@example.com")
        assert state_of(app, message(app, customer, campaign_id=welcome)) == "suppressed"

    def test_a_channel_is_not_the_other(self, app: Connection) -> None:
        texts = running(app, campaign_kind="welcome", contact_channel="sms")
        assert state_of(app, message(app, reader(app), campaign_id=texts)) == "suppressed"

    def test_a_withdrawal_stops_what_is_queued(self, app: Connection, welcome: UUID) -> None:
        ann, bob = reader(app), reader(app, "bob")
        stopped, kept = (message(app, who, campaign_id=welcome) for who in (ann, bob))
        consent(app, ann, "withdrawn")
        assert state_of(app, stopped) == "suppressed"
        assert state_of(app, kept) == "queued"

    @pytest.mark.parametrize(
        "other", [{"contact_channel": "sms"}, {"purpose": "profiling", "contact_channel": "none"}]
    )
    def test_another_withdrawal_stops_nothing(
        self, app: Connection, welcome: UUID, other: dict[str, Any]
    ) -> None:
        customer = reader(app)
        made = message(app, customer, campaign_id=welcome)
        consent(app, customer, "withdrawn", **other)
        assert state_of(app, made) == "queued"

    def test_a_withdrawal_leaves_what_went_out(self, app: Connection, welcome: UUID) -> None:
        customer = reader(app)
        made = message(app, customer, campaign_id=welcome)
        change(app, "campaign_message", made, state="sent")
        consent(app, customer, "withdrawn")
        assert state_of(app, made) == "sent"

    def test_consent_that_lapsed_in_the_queue_stops_the_sending(
        self, app: Connection, welcome: UUID
    ) -> None:
        customer = row(app, "ret.customer", email="ann@example.com")
        consent(app, customer, decided_at="2020-01-01", expires_on="2020-06-01")
        made = imported(
            app, "ret.campaign_message", customer_id=customer, campaign_id=welcome, state="queued"
        )
        change(app, "campaign_message", made, state="sent", cost_amount=1)
        assert state_of(app, made) == "suppressed"
        assert value(app, "campaign_message", made, "cost_amount") == 0

    @pytest.mark.parametrize("state", ["unsubscribed", "complained"])
    def test_who_unsubscribes_gets_no_more(
        self, app: Connection, welcome: UUID, state: str
    ) -> None:
        customer = reader(app)
        first, second = (message(app, customer, campaign_id=welcome) for _ in range(2))
        change(app, "campaign_message", first, state="sent")
        change(app, "campaign_message", first, state=state)
        assert state_of(app, second) == "suppressed"
        assert found(app, "SELECT ret.may_contact(%s, 'email')", customer) is False

    def test_who_is_blocked_unsubscribes_all_the_same(self, app: Connection, welcome: UUID) -> None:
        customer = reader(app)
        made = message(app, customer, campaign_id=welcome)
        change(app, "campaign_message", made, state="sent")
        change(app, "customer", customer, status="blocked")
        change(app, "campaign_message", made, state="unsubscribed")
        change(app, "customer", customer, status="active")
        assert found(app, "SELECT ret.may_contact(%s, 'email')", customer) is False

    def test_who_complains_after_unsubscribing_withdrew_once(
        self, app: Connection, welcome: UUID
    ) -> None:
        customer = reader(app)
        made = message(app, customer, campaign_id=welcome)
        for state in ("sent", "unsubscribed", "complained"):
            change(app, "campaign_message", made, state=state)
        assert (
            found(
                app,
                "SELECT count(*) FROM ret.customer_consent"
                " WHERE customer_id = %s AND decision = 'withdrawn'",
                customer,
            )
            == 1
        )

    def test_who_is_erased_complains_of_what_was_sent_before(
        self, app: Connection, welcome: UUID
    ) -> None:
        customer = reader(app)
        made = message(app, customer, campaign_id=welcome)
        change(app, "campaign_message", made, state="sent")
        change(app, "customer", customer, status="erased")
        change(app, "campaign_message", made, state="complained")
        assert state_of(app, made) == "complained"

    def test_a_queueing_makes_a_withdrawal_wait(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            become_app(connection, tenant)
            customer = reader(connection)
            campaign = running(connection, campaign_kind="welcome")
        with psycopg.connect(target.app) as one, psycopg.connect(target.app) as two:
            for connection in (one, two):
                become_app(connection, tenant)
            two.execute("SET LOCAL lock_timeout = '200ms'")
            made = message(one, customer, campaign_id=campaign)
            with pytest.raises(errors.LockNotAvailable):
                consent(two, customer, "withdrawn")
            one.commit()
            two.rollback()
            become_app(two, tenant)
            consent(two, customer, "withdrawn")
            assert state_of(two, made) == "suppressed"

    def test_a_withdrawal_makes_a_queueing_wait(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            become_app(connection, tenant)
            customer = reader(connection)
            campaign = running(connection, campaign_kind="welcome")
        with psycopg.connect(target.app) as one, psycopg.connect(target.app) as two:
            become_app(two, tenant)
            two.execute("SET LOCAL lock_timeout = '200ms'")
            become_app(one, tenant)
            consent(one, customer, "withdrawn")
            two.execute("SAVEPOINT before")
            with pytest.raises(errors.LockNotAvailable):
                message(two, customer, campaign_id=campaign)
            two.execute("ROLLBACK TO before")
            one.commit()
            # It began before the withdrawal was made and obeys it all the same.
            assert state_of(two, message(two, customer, campaign_id=campaign)) == "suppressed"


class TestAtOnce:
    """Two connections want the same: the second waits for the first and sees what it did."""

    @pytest.fixture
    def both(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> Iterator[tuple[Connection, Connection, dict[str, UUID]]]:
        """Two connections of the application, and what another committed before."""
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            become_app(connection, tenant)
            customer = reader(connection)
            segment = row(connection, "ret.segment")
            row(
                connection,
                "ret.segment_member",
                segment_id=segment,
                customer_id=customer,
                entered_at=EARLY,
            )
            campaigns = [running(connection, segment_id=segment) for _ in range(2)]
            for campaign in campaigns:
                imported(
                    connection,
                    "ret.campaign_message",
                    customer_id=customer,
                    campaign_id=campaign,
                    state="sent",
                    sent_at=EARLY,
                )
            made = {
                "customer": customer,
                "segment": segment,
                "one": campaigns[0],
                "two": campaigns[1],
                "fresh": running(connection, segment_id=segment),
                "order": imported(
                    connection,
                    "ret.sales_order",
                    customer_id=customer,
                    state="completed",
                    placed_at=LATE,
                ),
            }
        with psycopg.connect(target.app) as one, psycopg.connect(target.app) as two:
            for connection in (one, two):
                become_app(connection, tenant)
            two.execute("SET LOCAL lock_timeout = '200ms'")
            two.execute("SAVEPOINT before")
            yield one, two, made

    def waits(self, connection: Connection, do: Callable[[], Any]) -> None:
        with pytest.raises(errors.LockNotAvailable):
            do()
        connection.execute("ROLLBACK TO before")

    def test_two_withdrawals_wait_for_each_other(self, both: Any) -> None:
        one, two, made = both
        consent(one, made["customer"], "withdrawn")
        self.waits(two, lambda: consent(two, made["customer"], "withdrawn"))
        one.commit()
        consent(two, made["customer"], "withdrawn")
        assert found(two, "SELECT ret.may_contact(%s, 'email')", made["customer"]) is False

    def test_an_audience_is_queued_once(self, both: Any) -> None:
        one, two, made = both
        assert found(one, "SELECT ret.queue_campaign(%s)", made["fresh"]) == 1
        again = "SELECT ret.queue_campaign(%s)"
        self.waits(two, lambda: found(two, again, made["fresh"]))
        one.commit()
        assert found(two, again, made["fresh"]) == 0

    def test_a_message_makes_the_end_of_its_campaign_wait(self, both: Any) -> None:
        one, two, made = both
        queued = message(one, made["customer"], campaign_id=made["fresh"])
        self.waits(two, lambda: change(two, "campaign", made["fresh"], state="cancelled"))
        one.commit()
        change(two, "campaign", made["fresh"], state="cancelled")
        assert state_of(two, queued) == "suppressed"

    def test_an_order_is_not_credited_twice(self, both: Any) -> None:
        one, two, made = both

        def credit(connection: Connection, campaign: UUID) -> UUID:
            return row(
                connection,
                "ret.campaign_conversion",
                campaign_id=campaign,
                sales_order_id=made["order"],
                customer_id=made["customer"],
            )

        credit(one, made["one"])
        self.waits(two, lambda: credit(two, made["two"]))
        one.commit()
        with pytest.raises(errors.CheckViolation, match="more than the whole order"):
            credit(two, made["two"])

    def test_two_who_join_a_segment_are_both_counted(self, both: Any) -> None:
        one, two, made = both

        def join(connection: Connection) -> UUID:
            return row(
                connection, "ret.segment_member", segment_id=made["segment"], entered_at=EARLY
            )

        join(one)
        self.waits(two, lambda: join(two))
        one.commit()
        join(two)
        assert value(two, "segment", made["segment"], "member_count") == 3


class TestMessages:
    """What is said to whom."""

    def test_a_personal_coupon_goes_to_its_owner(self, app: Connection, welcome: UUID) -> None:
        ann, bob = reader(app), reader(app, "bob")
        coupon = row(app, "ret.coupon", coupon_kind="personal", customer_id=ann)
        message(app, ann, campaign_id=welcome, coupon_id=coupon)
        with pytest.raises(errors.CheckViolation, match="another customer's"):
            message(app, bob, campaign_id=welcome, coupon_id=coupon)

    def test_what_it_says_does_not_change(self, app: Connection, welcome: UUID) -> None:
        made = message(app, reader(app), campaign_id=welcome)
        with pytest.raises(errors.RestrictViolation, match="does not change"):
            change(app, "campaign_message", made, variant_code="B")

    def test_its_time_changes_until_it_went_out(self, app: Connection, welcome: UUID) -> None:
        made = message(app, reader(app), campaign_id=welcome)
        change(app, "campaign_message", made, sent_at=LATE)
        change(app, "campaign_message", made, state="sent")
        with pytest.raises(errors.RestrictViolation, match="when a message went out"):
            change(app, "campaign_message", made, sent_at=EARLY)

    def test_it_is_kept(self, app: Connection, welcome: UUID) -> None:
        made = message(app, reader(app), campaign_id=welcome)
        with pytest.raises(errors.InsufficientPrivilege):
            app.execute("DELETE FROM ret.campaign_message WHERE campaign_message_id = %s", [made])

    @pytest.mark.parametrize("state", ["cancelled", "finished"])
    def test_a_campaign_that_is_over_sends_no_more(
        self, app: Connection, welcome: UUID, state: str
    ) -> None:
        customer = reader(app)
        made = message(app, customer, campaign_id=welcome)
        over = {"finished_at": LATE} if state == "finished" else {}
        change(app, "campaign", welcome, state=state, **over)
        assert state_of(app, made) == "suppressed"
        with pytest.raises(errors.CheckViolation, match=f"is {state}"):
            message(app, customer, campaign_id=welcome)


class TestCampaigns:
    """Whom a campaign reaches."""

    def audience(self, connection: Connection, members: int, **given: Any) -> UUID:
        segment = row(connection, "ret.segment")
        for place in range(members):
            row(
                connection,
                "ret.segment_member",
                segment_id=segment,
                customer_id=reader(connection, f"reader{place}"),
                entered_at=EARLY,
                **given,
            )
        return segment

    def queue(self, connection: Connection, campaign: UUID) -> Any:
        return found(connection, "SELECT ret.queue_campaign(%s)", campaign)

    def test_everybody_gets_one_message(self, app: Connection) -> None:
        campaign = running(app, segment_id=self.audience(app, 3))
        assert self.queue(app, campaign) == 3
        assert self.queue(app, campaign) == 0

    def test_who_did_not_agree_is_not_counted(self, app: Connection) -> None:
        segment = self.audience(app, 1)
        row(app, "ret.segment_member", segment_id=segment, entered_at=EARLY)
        campaign = running(app, segment_id=segment)
        assert self.queue(app, campaign) == 1
        assert (
            found(
                app,
                "SELECT suppressed_count FROM ret.v_campaign_result WHERE campaign_id = %s",
                campaign,
            )
            == 1
        )

    @pytest.mark.parametrize("member", [{"is_control_group": True}, {"left_at": LATE}])
    def test_the_control_group_and_who_left_get_nothing(
        self, app: Connection, member: dict[str, Any]
    ) -> None:
        campaign = running(app, segment_id=self.audience(app, 1, **member))
        assert self.queue(app, campaign) == 0

    def test_a_part_of_the_audience_is_kept_for_comparison(self, app: Connection) -> None:
        campaign = running(app, segment_id=self.audience(app, 40), control_pct=50)
        assert 5 <= self.queue(app, campaign) <= 35
        assert self.queue(app, campaign) == 0

    def test_each_gets_one_of_the_variants(self, app: Connection) -> None:
        campaign = running(
            app,
            segment_id=self.audience(app, 30),
            variants_doc=Jsonb([{"code": "A", "share": 50}, {"code": "B", "share": 50}]),
        )
        self.queue(app, campaign)
        got = app.execute(
            "SELECT variant_code, count(*) FROM ret.campaign_message WHERE campaign_id = %s"
            " GROUP BY variant_code",
            [campaign],
        ).fetchall()
        assert {code for code, _ in got} == {"A", "B"}
        assert sum(many for _, many in got) == 30

    def test_a_draft_reaches_nobody(self, app: Connection) -> None:
        with pytest.raises(errors.CheckViolation, match="not running"):
            self.queue(app, row(app, "ret.campaign", segment_id=row(app, "ret.segment")))

    def test_a_campaign_that_is_not_there_reaches_nobody(self, app: Connection) -> None:
        with pytest.raises(errors.NoDataFound, match="no such campaign"):
            app.execute("SELECT ret.queue_campaign(gen_random_uuid())")

    def send(self, connection: Connection, most: int = 10) -> list[UUID]:
        return [
            key
            for (key,) in connection.execute(
                "SELECT ret.send_due_messages(%s, '2026-05-01 12:00+00')", [most]
            ).fetchall()
        ]

    def test_what_is_due_goes_out_earliest_first(self, app: Connection, welcome: UUID) -> None:
        customer = reader(app)
        second, first, later = (
            message(app, customer, campaign_id=welcome, sent_at=moment)
            for moment in (EARLY, "2026-05-01 09:00+00", LATE)
        )
        assert self.send(app, 1) == [first]
        assert self.send(app) == [second]
        assert self.send(app) == []
        assert state_of(app, later) == "queued"

    def test_a_paused_campaign_waits(self, app: Connection, welcome: UUID) -> None:
        message(app, reader(app), campaign_id=welcome, sent_at=EARLY)
        change(app, "campaign", welcome, state="paused")
        assert self.send(app) == []
        change(app, "campaign", welcome, state="running")
        assert len(self.send(app)) == 1

    def test_what_is_no_longer_allowed_is_not_returned(
        self, app: Connection, welcome: UUID
    ) -> None:
        made = imported(
            app,
            "ret.campaign_message",
            campaign_id=welcome,
            sent_at=EARLY,
            state="queued",
        )
        assert self.send(app) == []
        assert state_of(app, made) == "suppressed"

    def test_two_senders_claim_different_messages(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            become_app(connection, tenant)
            campaign = running(connection, campaign_kind="welcome")
            for name in ("ann", "bob"):
                message(connection, reader(connection, name), campaign_id=campaign, sent_at=EARLY)
        with psycopg.connect(target.app) as one, psycopg.connect(target.app) as two:
            for connection in (one, two):
                become_app(connection, tenant)
            mine, yours = self.send(one, 1), self.send(two)
        assert len(mine) == len(yours) == 1
        assert mine != yours


@pytest.fixture
def touched(app: Connection) -> tuple[UUID, UUID, UUID, UUID]:
    """A customer whom two campaigns reached, the first twice, and what she ordered then."""
    customer = reader(app)
    first, second = (running(app, campaign_kind="welcome") for _ in range(2))
    for campaign, moment in [
        (first, "2026-05-01 10:00+00"),
        (first, "2026-05-03 10:00+00"),
        (second, "2026-05-04 10:00+00"),
    ]:
        imported(
            app,
            "ret.campaign_message",
            customer_id=customer,
            campaign_id=campaign,
            state="sent",
            sent_at=moment,
        )
    order = imported(
        app,
        "ret.sales_order",
        customer_id=customer,
        state="completed",
        placed_at="2026-05-05 10:00+00",
        subtotal=110,
        discount_total=10,
        cost_total=40,
    )
    return customer, first, second, order


class TestConversions:
    """What a campaign is credited with."""

    def shares(self, connection: Connection, order: UUID, model: str) -> dict[UUID, Decimal]:
        return dict(
            connection.execute(
                "SELECT campaign_id, credit_share FROM ret.campaign_conversion"
                " WHERE sales_order_id = %s AND attribution_model = %s",
                [order, model],
            ).fetchall()
        )

    @pytest.mark.parametrize(
        ("model", "earlier", "later"),
        [
            ("last_touch", None, 1),
            ("first_touch", 1, None),
            ("linear", Decimal("0.6667"), Decimal("0.3333")),
            ("time_decay", Decimal("0.6225"), Decimal("0.3775")),
        ],
    )
    def test_each_model_has_its_way(
        self, app: Connection, touched: Any, model: str, earlier: Any, later: Any
    ) -> None:
        _, first, second, order = touched
        app.execute("SELECT ret.attribute_order(%s, %s)", [order, model])
        credited = self.shares(app, order, model)
        assert (credited.get(first), credited.get(second)) == (earlier, later)
        assert found(
            app,
            "SELECT sum(revenue_credited), sum(margin_credited) FROM ret.campaign_conversion"
            " WHERE sales_order_id = %s",
            order,
        ) == (100, 60)

    def test_it_says_how_often_and_how_fast(self, app: Connection, touched: Any) -> None:
        _, first, _, order = touched
        assert found(app, "SELECT ret.attribute_order(%s, 'linear')", order) == 2
        assert found(
            app,
            "SELECT touch_count, hours_to_convert FROM ret.campaign_conversion"
            " WHERE campaign_id = %s",
            first,
        ) == (2, 48)

    def test_once_more_changes_nothing(self, app: Connection, touched: Any) -> None:
        *_, order = touched
        for _ in range(2):
            assert found(app, "SELECT ret.attribute_order(%s)", order) == 1

    def test_too_late_counts_for_nobody(self, app: Connection, touched: Any) -> None:
        _, first, second, order = touched
        change(app, "campaign", first, attribution_days=1)
        change(app, "campaign", second, attribution_days=None)
        assert found(app, "SELECT ret.attribute_order(%s, 'linear')", order) == 0

    def test_a_cancelled_order_counts_for_nobody(self, app: Connection, touched: Any) -> None:
        customer, *_ = touched
        order = imported(
            app,
            "ret.sales_order",
            customer_id=customer,
            state="cancelled",
            placed_at="2026-05-05 10:00+00",
        )
        assert found(app, "SELECT ret.attribute_order(%s)", order) == 0

    def test_no_order_no_model(self, app: Connection, touched: Any) -> None:
        with pytest.raises(errors.NoDataFound, match="no such order"), app.transaction():
            app.execute("SELECT ret.attribute_order(gen_random_uuid())")
        with pytest.raises(errors.InvalidParameterValue, match="no such model"):
            app.execute("SELECT ret.attribute_order(%s, 'guess')", [touched[3]])

    def credit(self, connection: Connection, touched: Any, **given: Any) -> UUID:
        customer, first, _, order = touched
        return row(
            connection,
            "ret.campaign_conversion",
            **{
                "campaign_id": first,
                "sales_order_id": order,
                "customer_id": customer,
                "attribution_model": "linear",
                "credit_share": 0.6,
                **given,
            },
        )

    def test_an_order_is_credited_once_in_all(self, app: Connection, touched: Any) -> None:
        self.credit(app, touched)
        with pytest.raises(errors.CheckViolation, match="more than the whole order"):
            self.credit(app, touched, campaign_id=touched[2])

    def test_to_a_campaign_that_reached_its_customer(self, app: Connection, touched: Any) -> None:
        other = running(app, campaign_kind="welcome")
        with pytest.raises(errors.CheckViolation, match="no message of the campaign"):
            self.credit(app, touched, campaign_id=other)

    def test_and_only_for_the_customer_of_the_order(self, app: Connection, touched: Any) -> None:
        with pytest.raises(errors.CheckViolation, match="not of this customer"):
            self.credit(app, touched, customer_id=row(app, "ret.customer"))

    def test_but_not_if_it_was_cancelled(self, app: Connection, touched: Any) -> None:
        order = imported(app, "ret.sales_order", customer_id=touched[0], state="cancelled")
        with pytest.raises(errors.CheckViolation, match="credited to nobody"):
            self.credit(app, touched, sales_order_id=order)

    def test_the_result_of_a_campaign_adds_it_up(self, app: Connection, touched: Any) -> None:
        _, _, second, order = touched
        app.execute("SELECT ret.attribute_order(%s)", [order])
        assert found(
            app,
            "SELECT message_count, order_count, revenue_credited FROM ret.v_campaign_result"
            " WHERE campaign_id = %s",
            second,
        ) == (1, 1, 100)


class TestReferrals:
    """Who brought whom."""

    def invite(self, connection: Connection, friend: UUID) -> UUID:
        made = row(connection, "ret.referral", invited_at=EARLY)
        change(
            connection,
            "referral",
            made,
            state="joined",
            referred_customer_id=friend,
            joined_at=LATE,
        )
        return made

    def qualify(self, connection: Connection, made: UUID, order: UUID) -> None:
        change(
            connection,
            "referral",
            made,
            state="qualified",
            first_order_id=order,
            qualified_at="2026-05-03",
        )

    def order(self, connection: Connection, friend: UUID, **given: Any) -> UUID:
        return imported(
            connection,
            "ret.sales_order",
            **{"customer_id": friend, "state": "completed", "placed_at": LATE, **given},
        )

    def test_nobody_brings_themselves(self, app: Connection) -> None:
        ann = row(app, "ret.customer")
        with pytest.raises(errors.CheckViolation, match="referrer_customer_id"):
            imported(
                app,
                "ret.referral",
                state="joined",
                referrer_customer_id=ann,
                referred_customer_id=ann,
                invited_at=EARLY,
                joined_at=LATE,
            )

    def test_nobody_is_brought_twice(self, app: Connection) -> None:
        friend = row(app, "ret.customer")
        self.invite(app, friend)
        with pytest.raises(errors.UniqueViolation, match="brought_once"):
            self.invite(app, friend)

    def test_who_bought_before_was_not_brought(self, app: Connection) -> None:
        friend = row(app, "ret.customer")
        self.order(app, friend, placed_at="2026-04-01")
        with pytest.raises(errors.CheckViolation, match="bought before"):
            self.invite(app, friend)

    def test_the_first_order_qualifies(self, app: Connection) -> None:
        friend = row(app, "ret.customer")
        made, order = self.invite(app, friend), self.order(app, friend)
        self.qualify(app, made, order)
        assert value(app, "referral", made, "state") == "qualified"

    def test_the_second_order_does_not(self, app: Connection) -> None:
        friend = row(app, "ret.customer")
        made = self.invite(app, friend)
        self.order(app, friend)
        second = self.order(app, friend, placed_at="2026-05-03")
        with pytest.raises(errors.CheckViolation, match="not the first order"):
            self.qualify(app, made, second)

    def test_nor_does_that_of_somebody_else(self, app: Connection) -> None:
        made = self.invite(app, row(app, "ret.customer"))
        with pytest.raises(errors.CheckViolation, match="not of the customer"):
            self.qualify(app, made, self.order(app, row(app, "ret.customer")))

    @pytest.mark.parametrize("state", ["pending", "cancelled", "returned"])
    def test_nor_one_that_is_not_kept(self, app: Connection, state: str) -> None:
        friend = row(app, "ret.customer")
        made = self.invite(app, friend)
        with pytest.raises(errors.CheckViolation, match=f"that is {state}"):
            self.qualify(app, made, self.order(app, friend, state=state))


class TestReviews:
    """What buyers say."""

    @pytest.fixture
    def bought(self, app: Connection) -> dict[str, UUID]:
        """What a review of a purchase that was handed over names."""
        customer, variant = row(app, "ret.customer"), row(app, "ret.product_variant")
        order = row(app, "ret.sales_order", customer_id=customer, placed_at=EARLY)
        line = imported(
            app,
            "ret.sales_order_line",
            sales_order_id=order,
            product_variant_id=variant,
            fulfilled_qty=1,
        )
        return {
            "product_id": value(app, "product_variant", variant, "product_id"),
            "customer_id": customer,
            "sales_order_line_id": line,
        }

    def review(self, connection: Connection, bought: dict[str, Any], **given: Any) -> UUID:
        return row(
            connection,
            "ret.product_review",
            **{**bought, "rating": 4, "is_verified_purchase": True, **given},
        )

    def test_a_buyer_reviews_once(self, app: Connection, bought: dict[str, UUID]) -> None:
        self.review(app, bought)
        with pytest.raises(errors.UniqueViolation):
            self.review(app, bought)

    def test_a_verified_purchase_names_its_buyer(
        self, app: Connection, bought: dict[str, UUID]
    ) -> None:
        app.execute("RESET ROLE")
        with pytest.raises(errors.CheckViolation, match="verified_names_buyer"):
            self.review(app, bought, customer_id=None)

    @pytest.mark.parametrize("what", ["product", "customer"])
    def test_it_is_of_what_was_bought_and_by_whom(
        self, app: Connection, bought: dict[str, UUID], what: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match="did not buy"):
            self.review(app, bought, **{f"{what}_id": row(app, f"ret.{what}")})

    def test_it_follows_the_purchase(self, app: Connection, bought: dict[str, UUID]) -> None:
        with pytest.raises(errors.CheckViolation, match="follows the purchase"):
            self.review(app, bought, submitted_at="2026-04-01")

    def test_it_waits_for_the_goods(self, app: Connection, bought: dict[str, UUID]) -> None:
        app.execute("RESET ROLE")
        change(app, "sales_order_line", bought["sales_order_line_id"], fulfilled_qty=0)
        app.execute("SET LOCAL ROLE app_user")
        with pytest.raises(errors.CheckViolation, match="not got it yet"):
            self.review(app, bought)

    def test_what_is_edited_is_moderated_again(
        self, app: Connection, account: UUID, bought: dict[str, UUID]
    ) -> None:
        made = self.review(app, bought)
        change(app, "product_review", made, moderation="published", moderated_by_user_id=account)
        change(app, "product_review", made, helpful_count=1)
        assert value(app, "product_review", made, "moderation") == "published"
        change(app, "product_review", made, rating=1)
        assert value(app, "product_review", made, "moderation") == "pending"
        assert value(app, "product_review", made, "moderated_by_user_id") is None

    def test_published_ones_make_the_rating(self, app: Connection, bought: dict[str, UUID]) -> None:
        rating = (
            "SELECT review_count, verified_count, average_rating FROM ret.v_product_rating"
            " WHERE product_id = %s"
        )
        product = bought["product_id"]
        made = self.review(app, bought)
        assert found(app, rating, product) is None
        change(app, "product_review", made, moderation="published")
        imported(app, "ret.product_review", product_id=product, rating=5, moderation="published")
        assert found(app, rating, product) == (2, 1, Decimal("4.50"))
