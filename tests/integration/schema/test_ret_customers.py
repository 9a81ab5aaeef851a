"""Customers are merged and forgotten whole; the latest consent counts; certificates reach down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors, sql

from harness.db import Connection, Target
from tests.integration.conftest import add_account, add_tenant, become_app
from tests.integration.schema.rows import imported, row

CUSTOMER = {
    "active": {"blocked", "merged", "erased"},
    "blocked": {"active", "merged", "erased"},
    "merged": {"erased"},
    "erased": set(),
}
EXEMPTION = {
    "pending": {"valid", "rejected"},
    "valid": {"expired", "rejected"},
    "expired": set(),
    "rejected": {"pending"},
}
ERASED = {"display_name": "Erased customer"}


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


class TestRules:
    """What no row may say."""

    @pytest.mark.parametrize(
        ("table", "columns", "truth"),
        [
            ("customer_group", {"default_discount_pct": 61}, "bounded"),
            ("customer_group", {"payment_terms_days": -1}, "payment_terms_not_negative"),
            ("customer", {"order_count": -1}, "figures_not_negative"),
            ("customer", {"credit_limit": -1}, "figures_not_negative"),
            ("customer", {"return_rate_pct": 101}, "return_rate_bounded"),
            ("customer", {"order_count": 1}, "orders_have_times"),
            ("customer", {"first_order_at": "2026-01-01"}, "orders_have_times"),
            (
                "customer",
                {
                    "order_count": 2,
                    "first_order_at": "2026-01-02",
                    "last_order_at": "2026-01-01",
                },
                "last_order_after_first",
            ),
            (
                "customer",
                {"customer_kind": "company", "birth_date": "1990-01-01"},
                "company_has_no_birthday",
            ),
            ("customer_address", {"postal_code": "606"}, "postal_code_of_country"),
            (
                "customer_address",
                {"is_default_shipping": True, "validation_state": "undeliverable"},
                "ships_where_it_arrives",
            ),
            (
                "customer_consent",
                {"purpose": "marketing", "contact_channel": "none"},
                "marketing_names_channel",
            ),
            ("customer_consent", {"wording_version": " "}, "granted_to_a_wording"),
            (
                "customer_consent",
                {"decision": "withdrawn", "expires_on": "2090-01-01"},
                "only_grants_expire",
            ),
            ("customer_consent", {"expires_on": "2020-01-01"}, "expires_later"),
            ("tax_exemption", {"expires_on": "2026-05-04"}, "expires_after_issue"),
            ("tax_exemption", {"status": "valid"}, "valid_is_verified"),
            ("wish_list", {"list_kind": "registry"}, "registry_has_event"),
            ("wish_list", {"list_kind": "save_for_later", "is_public": True}, "saved_is_private"),
            ("wish_list", {"share_token": "short"}, "token_not_guessable"),
            ("wish_list_item", {"desired_qty": 0}, "wants_something"),
            ("wish_list_item", {"desired_qty": 1, "purchased_qty": 2}, "bought_at_most_wanted"),
            ("wish_list_item", {"price_when_added": -1}, "price_not_negative"),
            ("wish_list_item", {"last_notified_at": "2020-01-01"}, "notified_after_adding"),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, app: Connection, table: str, columns: dict[str, Any], truth: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=rf"{table}_.*{truth}"):
            row(app, f"ret.{table}", **columns)

    @pytest.mark.parametrize(
        ("country", "code", "fits"),
        [
            ("US", "60601", True),
            ("US", "60601-1234", True),
            ("US", "6060", False),
            ("CA", "K1A 0B1", True),
            ("CA", "60601", False),
            ("GB", "SW1A 1AA", True),
            ("GB", "1AA SW1A", False),
            ("DE", "10115", True),
            ("NL", "1012 AB", True),
            ("NL", "1012", False),
            ("AU", "2000", True),
            ("SE", "111 22", True),
            ("PL", "00-001", True),
            ("JP", "100-0001", True),
            ("BR", "01000-000", True),
            ("IN", "011001", False),
            ("IS", "101", True),
        ],
    )
    def test_a_postal_code_is_that_of_its_country(
        self, app: Connection, country: str, code: str, fits: bool
    ) -> None:
        assert found(app, "SELECT ret.postal_code_fits(%s, %s)", country, code) is fits

    def test_an_address_means_one_account_however_it_is_spelled(self, app: Connection) -> None:
        row(app, "ret.customer", email="Ann@example.com")
        row(app, "ret.customer", email="ann@example.com", is_guest=True)
        with pytest.raises(errors.UniqueViolation, match="customer_email_idx"):
            row(app, "ret.customer", email="ann@example.com")

    def test_an_account_is_one_customer(self, app: Connection, account: UUID) -> None:
        row(app, "ret.customer", user_account_id=account)
        with pytest.raises(errors.UniqueViolation, match="customer_user_account_idx"):
            row(app, "ret.customer", user_account_id=account)

    def test_a_guest_has_no_account(self, app: Connection, account: UUID) -> None:
        with pytest.raises(errors.CheckViolation, match="guest_has_no_account"):
            row(app, "ret.customer", user_account_id=account, is_guest=True)

    @pytest.mark.parametrize("use", ["shipping", "billing"])
    def test_a_customer_has_one_default_address(self, app: Connection, use: str) -> None:
        customer = row(app, "ret.customer")
        given = {"customer_id": customer, f"is_default_{use}": True}
        row(app, "ret.customer_address", **given)
        with pytest.raises(errors.UniqueViolation, match=f"default_{use}"):
            row(app, "ret.customer_address", **given)

    def test_a_customer_gets_a_number(self, app: Connection) -> None:
        customer = row(app, "ret.customer", customer_number=None)
        number = "SELECT customer_number FROM ret.customer WHERE customer_id = %s"
        assert found(app, number, customer).startswith("C-")


class TestStates:
    """Which state follows which."""

    @pytest.mark.parametrize("before", CUSTOMER)
    @pytest.mark.parametrize("after", CUSTOMER)
    def test_of_a_customer(self, app: Connection, before: str, after: str) -> None:
        other = row(app, "ret.customer")
        given: dict[str, Any] = {"status": before}
        if before == "erased":
            given |= ERASED
        if before == "merged":
            given["merged_into_customer_id"] = other
        customer = imported(app, "ret.customer", **given)
        to: dict[str, Any] = {"status": after}
        if after == "merged":
            to["merged_into_customer_id"] = other
        if after in CUSTOMER[before] | {before}:
            change(app, "customer", customer, **to)
        else:
            with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
                change(app, "customer", customer, **to)

    @pytest.mark.parametrize("status", ["blocked", "merged", "erased"])
    def test_a_customer_starts_active(self, app: Connection, status: str) -> None:
        with pytest.raises(errors.CheckViolation, match="cannot start"):
            row(app, "ret.customer", status=status)

    @pytest.mark.parametrize("before", EXEMPTION)
    @pytest.mark.parametrize("after", EXEMPTION)
    def test_of_an_exemption(self, app: Connection, before: str, after: str) -> None:
        made = imported(app, "ret.tax_exemption", status=before, verified_at="2026-05-05")
        if after in EXEMPTION[before] | {before}:
            change(app, "tax_exemption", made, status=after)
        else:
            with pytest.raises(errors.CheckViolation, match=f"{before} cannot become {after}"):
                change(app, "tax_exemption", made, status=after)


class TestMerging:
    """Two customers turn out to be one."""

    def merge(self, connection: Connection, loser: UUID, survivor: UUID) -> None:
        change(connection, "customer", loser, status="merged", merged_into_customer_id=survivor)

    def test_the_second_becomes_the_first(self, app: Connection) -> None:
        first, second = row(app, "ret.customer"), row(app, "ret.customer")
        self.merge(app, second, first)
        into = "SELECT merged_into_customer_id FROM ret.customer WHERE customer_id = %s"
        assert found(app, into, second) == first

    def test_merged_says_into_whom(self, app: Connection) -> None:
        with pytest.raises(errors.CheckViolation, match="merged_into_somebody"):
            change(app, "customer", row(app, "ret.customer"), status="merged")

    def test_nobody_is_merged_into_themselves(self, app: Connection) -> None:
        customer = row(app, "ret.customer")
        with pytest.raises(errors.CheckViolation, match="not_merged_into_itself"):
            self.merge(app, customer, customer)

    def test_nobody_is_merged_into_somebody_merged(self, app: Connection) -> None:
        first, second, third = (row(app, "ret.customer") for _ in range(3))
        self.merge(app, second, first)
        with pytest.raises(errors.CheckViolation, match="into one that is merged"):
            self.merge(app, third, second)

    def test_two_merges_at_once_close_no_circle(
        self, deployed: Target, copy_of: Callable[[Target], Target]
    ) -> None:
        target = copy_of(deployed)
        with psycopg.connect(target.admin) as connection:
            tenant = add_tenant(connection, "first")
            become_app(connection, tenant)
            ann, bob = row(connection, "ret.customer"), row(connection, "ret.customer")
        with psycopg.connect(target.app) as one, psycopg.connect(target.app) as two:
            for connection in (one, two):
                become_app(connection, tenant)
            two.execute("SET LOCAL lock_timeout = '200ms'")
            self.merge(one, ann, bob)
            with pytest.raises(errors.LockNotAvailable):
                self.merge(two, bob, ann)
            one.commit()
            two.rollback()
            become_app(two, tenant)
            with pytest.raises(errors.CheckViolation, match="into one that is merged"):
                self.merge(two, bob, ann)


class TestErasing:
    """Nothing is left that says who it was."""

    @pytest.fixture
    def erased(self, app: Connection, admin: Connection, tenant: UUID) -> UUID:
        app.execute("RESET ROLE")
        account = add_account(admin, tenant, "gone")
        become_app(app, tenant)
        customer = row(
            app,
            "ret.customer",
            email="gone@example.com",
            phone="+13125550199",
            birth_date="1990-01-01",
            user_account_id=account,
        )
        row(app, "ret.customer_address", customer_id=customer)
        change(app, "customer", customer, status="erased")
        return customer

    def test_contact_data_go(self, app: Connection, erased: UUID) -> None:
        left = found(
            app,
            "SELECT display_name, email, phone, birth_date, user_account_id"
            " FROM ret.customer WHERE customer_id = %s",
            erased,
        )
        assert left == ("Erased customer", None, None, None, None)

    def test_addresses_go(self, app: Connection, erased: UUID) -> None:
        count = "SELECT count(*) FROM ret.customer_address WHERE customer_id = %s"
        assert found(app, count, erased) == 0

    def test_an_address_of_somebody_else_stays(self, app: Connection) -> None:
        address = row(app, "ret.customer_address")
        change(app, "customer", row(app, "ret.customer"), status="erased")
        count = "SELECT count(*) FROM ret.customer_address WHERE customer_address_id = %s"
        assert found(app, count, address) == 1

    def test_contact_data_do_not_come_back(self, app: Connection, erased: UUID) -> None:
        with pytest.raises(errors.CheckViolation, match="erased_keeps_no_contact"):
            change(app, "customer", erased, email="back@example.com")

    @pytest.mark.parametrize("table", ["customer_address", "customer_consent", "wish_list"])
    def test_nothing_is_added(self, app: Connection, erased: UUID, table: str) -> None:
        with pytest.raises(errors.CheckViolation, match="the customer is erased"):
            row(app, f"ret.{table}", customer_id=erased)


class TestConsent:
    """The latest decision per purpose and channel counts."""

    @pytest.fixture
    def customer(self, app: Connection) -> UUID:
        return row(app, "ret.customer", email="ann@example.com", phone="+13125550100")

    def decide(self, connection: Connection, customer: UUID, at: str, **given: Any) -> UUID:
        return row(connection, "ret.customer_consent", customer_id=customer, decided_at=at, **given)

    def may(self, connection: Connection, customer: UUID, at: str, channel: str = "email") -> Any:
        return found(
            connection,
            "SELECT ret.may_contact(%s, %s, 'marketing', %s)",
            customer,
            channel,
            at,
        )

    @pytest.mark.parametrize("statement", ["UPDATE {} SET source = 'web'", "DELETE FROM {}"])
    def test_proof_is_never_changed(self, admin: Connection, tenant: UUID, statement: str) -> None:
        become_app(admin, tenant)
        row(admin, "ret.customer_consent")
        with admin.transaction(force_rollback=True), pytest.raises(errors.InsufficientPrivilege):
            admin.execute(statement.format("ret.customer_consent").encode())
        admin.execute("RESET ROLE")
        with pytest.raises(errors.RestrictViolation, match="append only"):
            admin.execute(statement.format("ret.customer_consent").encode())

    def test_without_a_decision_nobody_is_contacted(self, app: Connection, customer: UUID) -> None:
        assert self.may(app, customer, "2026-01-01") is False

    def test_the_latest_decision_until_then_counts(self, app: Connection, customer: UUID) -> None:
        self.decide(app, customer, "2026-01-01")
        self.decide(app, customer, "2026-02-01", decision="withdrawn", wording_version=None)
        self.decide(app, customer, "2026-03-01")
        moments = ["2025-12-31", "2026-01-02", "2026-02-02", "2026-03-02"]
        assert [self.may(app, customer, m) for m in moments] == [False, True, False, True]
        assert found(app, "SELECT decision FROM ret.v_consent_now") == "granted"

    def test_channels_and_purposes_are_apart(self, app: Connection, customer: UUID) -> None:
        self.decide(app, customer, "2026-01-01", contact_channel="sms")
        self.decide(app, customer, "2026-01-01", purpose="profiling", contact_channel="email")
        assert self.may(app, customer, "2026-01-02", "email") is False
        assert self.may(app, customer, "2026-01-02", "sms") is True

    def test_a_grant_lapses_after_its_last_day(self, app: Connection, customer: UUID) -> None:
        self.decide(app, customer, "2026-01-01 12:00+00", expires_on="2026-01-31")
        # Chicago is six hours behind: there it is still the 31st.
        assert self.may(app, customer, "2026-02-01 05:59+00") is True
        assert self.may(app, customer, "2026-02-01 06:00+00") is False

    @pytest.mark.parametrize(("channel", "column"), [("email", "email"), ("sms", "phone")])
    def test_there_must_be_an_address_to_reach(
        self, app: Connection, customer: UUID, channel: str, column: str
    ) -> None:
        self.decide(app, customer, "2026-01-01", contact_channel=channel)
        change(app, "customer", customer, **{column: None})
        assert self.may(app, customer, "2026-01-02", channel) is False

    def test_a_blocked_customer_is_left_alone(self, app: Connection, customer: UUID) -> None:
        self.decide(app, customer, "2026-01-01")
        change(app, "customer", customer, status="blocked")
        assert self.may(app, customer, "2026-01-02") is False


class TestExemptions:
    """A certificate frees from the tax of its jurisdiction and of those within it."""

    @pytest.fixture
    def state(self, app: Connection) -> UUID:
        return row(app, "ret.tax_jurisdiction", level_kind="state", region_code="IL")

    @pytest.fixture
    def city(self, app: Connection, state: UUID) -> UUID:
        return row(
            app,
            "ret.tax_jurisdiction",
            level_kind="city",
            region_code="IL",
            postal_pattern="^606",
            parent_jurisdiction_id=state,
        )

    def certificate(self, connection: Connection, jurisdiction: UUID, **given: Any) -> UUID:
        columns = {
            "status": "valid",
            "verified_at": "2026-01-02",
            "issued_on": "2026-01-01",
            "expires_on": "2026-12-31",
        }
        return row(
            connection,
            "ret.tax_exemption",
            tax_jurisdiction_id=jurisdiction,
            **{**columns, **given},
        )

    def in_force(self, connection: Connection, jurisdiction: UUID, on_day: str) -> Any:
        return found(
            connection,
            "SELECT ret.exemption_in_force(e.customer_id, %s, %s) FROM ret.tax_exemption AS e",
            jurisdiction,
            on_day,
        )

    @pytest.mark.parametrize(
        ("on_day", "holds"),
        [
            ("2025-12-31", False),
            ("2026-01-01", True),
            ("2026-12-31", True),
            ("2027-01-01", False),
        ],
    )
    def test_it_holds_from_the_first_to_the_last_day(
        self, app: Connection, state: UUID, on_day: str, holds: bool
    ) -> None:
        made = self.certificate(app, state)
        assert self.in_force(app, state, on_day) == (made if holds else None)

    def test_it_reaches_down_but_not_up(self, app: Connection, state: UUID, city: UUID) -> None:
        made = self.certificate(app, state)
        assert self.in_force(app, city, "2026-06-01") == made
        change(app, "tax_exemption", made, tax_jurisdiction_id=city)
        assert self.in_force(app, state, "2026-06-01") is None

    @pytest.mark.parametrize(
        "given", [{"status": "pending"}, {"is_blanket": False}], ids=["unverified", "single"]
    )
    def test_what_does_not_free(self, app: Connection, state: UUID, given: dict[str, Any]) -> None:
        self.certificate(app, state, **given)
        assert self.in_force(app, state, "2026-06-01") is None

    def test_it_is_its_owner_s(self, app: Connection, state: UUID) -> None:
        self.certificate(app, state)
        stranger = row(app, "ret.customer")
        call = "SELECT ret.exemption_in_force(%s, %s, '2026-06-01')"
        assert found(app, call, stranger, state) is None


class TestWishLists:
    """A list counts what is on it."""

    def count(self, connection: Connection, wish_list: UUID) -> Any:
        number = "SELECT item_count FROM ret.wish_list WHERE wish_list_id = %s"
        return found(connection, number, wish_list)

    def test_a_list_counts_its_items(self, app: Connection) -> None:
        wish_list, other = row(app, "ret.wish_list"), row(app, "ret.wish_list")
        item, _ = (row(app, "ret.wish_list_item", wish_list_id=wish_list) for _ in range(2))
        assert (self.count(app, wish_list), self.count(app, other)) == (2, 0)
        app.execute("DELETE FROM ret.wish_list_item WHERE wish_list_item_id = %s", [item])
        assert self.count(app, wish_list) == 1

    def test_a_list_goes_with_its_items(self, app: Connection) -> None:
        row(app, "ret.wish_list_item")
        app.execute("DELETE FROM ret.wish_list")
        assert found(app, "SELECT count(*) FROM ret.wish_list_item") == 0

    def test_two_guests_do_not_buy_the_same_gift(self, app: Connection) -> None:
        item = row(app, "ret.wish_list_item", desired_qty=1)
        change(app, "wish_list_item", item, purchased_qty=1)
        with pytest.raises(errors.CheckViolation, match="bought_at_most_wanted"):
            app.execute("UPDATE ret.wish_list_item SET purchased_qty = purchased_qty + 1")

    def test_each_list_has_a_link_of_its_own(self, app: Connection) -> None:
        for _ in range(2):
            row(app, "ret.wish_list")
        tokens = "SELECT count(DISTINCT share_token) FROM ret.wish_list"
        assert found(app, tokens) == 2
