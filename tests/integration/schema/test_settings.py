"""Settings: addresses, settings, document numbers, rates, holidays, partitions, views."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, LiteralString
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection


def one(connection: Connection, query: LiteralString, *values: Any) -> Any:
    """The single value of a query's single row."""
    row = connection.execute(query, values).fetchone()
    assert row
    return row[0]


def address(app: Connection, tenant: UUID, line1: str, city: str = "Austin") -> UUID:
    """A geocoded and verified address."""
    return one(
        app,
        "INSERT INTO system_core.postal_address (business_id, line1, city, region_code,"
        " country_code, latitude, longitude, geocode_quality, verified_at)"
        " VALUES (%s, %s, %s, 'TX', 'US', 30.27, -97.74, 'rooftop', now())"
        " RETURNING postal_address_id",
        tenant,
        line1,
        city,
    )


def sequence(app: Connection, tenant: UUID, code: str, **columns: Any) -> UUID:
    """A number sequence, gapless and without a period unless said otherwise."""
    given: dict[str, Any] = {
        "prefix": "",
        "reset_period": "never",
        "is_gapless": True,
        "location_code": None,
        "next_value": 1,
        "step": 1,
        "last_reset_on": None,
        **columns,
    }
    return one(
        app,
        "INSERT INTO system_core.number_sequence (business_id, sequence_code, prefix,"
        " reset_period, is_gapless, location_code, next_value, step, last_reset_on, pad_width)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, 4) RETURNING number_sequence_id",
        tenant,
        code,
        *given.values(),
    )


def take(app: Connection, code: str, location: str | None = None) -> str:
    """The next document number."""
    return one(app, "SELECT system_core.next_document_number(%s, %s)", code, location)


def next_value(app: Connection, code: str) -> int:
    """What the row of a sequence says is next."""
    return one(
        app, "SELECT next_value FROM system_core.number_sequence WHERE sequence_code = %s", code
    )


def rate(app: Connection, tenant: UUID, pair: str, day: str, mid: str, source: str = "ecb") -> UUID:
    """A rate of a pair like EUR/USD."""
    return one(
        app,
        "INSERT INTO system_core.exchange_rate (business_id, base_currency, quote_currency,"
        " rate_date, mid_rate, source) VALUES (%s, %s, %s, %s, %s, %s) RETURNING exchange_rate_id",
        tenant,
        *pair.split("/"),
        day,
        mid,
        source,
    )


def calendar(app: Connection, tenant: UUID, *holidays: tuple[str, str]) -> UUID:
    """The default calendar, with holidays as (date, kind)."""
    identity: UUID = one(
        app,
        "INSERT INTO system_core.holiday_calendar (business_id, code, name, country_code,"
        " valid_from, is_default) VALUES (%s, 'us', 'US', 'US', '2020-01-01', true)"
        " RETURNING holiday_calendar_id",
        tenant,
    )
    for day, kind in holidays:
        half = kind == "half_day"
        app.execute(
            "INSERT INTO system_core.holiday (business_id, holiday_calendar_id, holiday_date,"
            " name, kind, opens_at, closes_at) VALUES (%s, %s, %s, %s, %s, %s, %s)",
            [
                tenant,
                identity,
                day,
                day,
                kind,
                "09:00" if half else None,
                "12:00" if half else None,
            ],
        )
    return identity


# Addresses


def test_an_address_typed_differently_is_the_same(app: Connection, tenant: UUID) -> None:
    address(app, tenant, "12 Main St.")
    with pytest.raises(errors.UniqueViolation):
        address(app, tenant, "12  MAIN ST", city="austin")


def test_parts_do_not_run_together_in_the_hash(app: Connection, tenant: UUID) -> None:
    address(app, tenant, "12 Main", city="St Paul")
    address(app, tenant, "12 Main St", city="Paul")


def test_a_rewritten_address_must_be_located_again(app: Connection, tenant: UUID) -> None:
    where = address(app, tenant, "12 Main St")
    found = app.execute(
        "UPDATE system_core.postal_address SET line1 = '14 Main St' WHERE postal_address_id = %s"
        " RETURNING latitude, geocode_quality, verified_at",
        [where],
    ).fetchone()
    assert found == (None, None, None)


def test_a_rewritten_address_keeps_coordinates_that_come_with_it(
    app: Connection, tenant: UUID
) -> None:
    where = address(app, tenant, "12 Main St")
    latitude = one(
        app,
        "UPDATE system_core.postal_address SET line1 = '14 Main St', latitude = 30.28"
        " WHERE postal_address_id = %s RETURNING latitude",
        where,
    )
    assert latitude == 30.28


@pytest.mark.parametrize(
    ("latitude", "longitude", "quality"),
    [(30, None, "postal"), (30, -97, "failed"), (30, -97, None), (None, None, "rooftop")],
)
def test_coordinates_and_their_quality_come_together(
    app: Connection, tenant: UUID, latitude: int | None, longitude: int | None, quality: str | None
) -> None:
    with pytest.raises(errors.CheckViolation):
        app.execute(
            "INSERT INTO system_core.postal_address (business_id, line1, city, country_code,"
            " latitude, longitude, geocode_quality) VALUES (%s, 'a', 'b', 'US', %s, %s, %s)",
            [tenant, latitude, longitude, quality],
        )


# Settings


def setting(app: Connection, tenant: UUID, value: str, **columns: Any) -> UUID:
    """A setting invoice/footer with a JSON value."""
    given = {"scope": "business", "entity": None, "type": "string", "secret": False, **columns}
    return one(
        app,
        "INSERT INTO system_core.setting (business_id, namespace, setting_key, value, scope,"
        " scope_entity_id, value_type, is_secret)"
        " VALUES (%s, 'invoice', 'footer', %s, %s, %s, %s, %s) RETURNING setting_id",
        tenant,
        value,
        *given.values(),
    )


def test_the_narrowest_scope_applies(app: Connection, tenant: UUID) -> None:
    location, user = UUID(int=1), UUID(int=2)
    setting(app, tenant, '"ours"')
    setting(app, tenant, '"shop"', scope="location", entity=location)
    setting(app, tenant, '"mine"', scope="user", entity=user)
    ask: LiteralString = "SELECT system_core.effective_setting('invoice', 'footer', %s, %s)"
    assert one(app, ask, None, None) == "ours"
    assert one(app, ask, location, None) == "shop"
    assert one(app, ask, location, user) == "mine"
    assert one(app, ask, user, location) == "ours"


def test_a_setting_is_unique_in_its_scope(app: Connection, tenant: UUID) -> None:
    setting(app, tenant, '"a"')
    with pytest.raises(errors.UniqueViolation):
        setting(app, tenant, '"b"')


@pytest.mark.parametrize(
    ("value", "columns"),
    [
        ("1", {}),
        ('"hunter2"', {"secret": True}),
        ('"a"', {"scope": "location"}),
        ('"a"', {"entity": UUID(int=1)}),
    ],
    ids=["type", "secret in the clear", "scope without entity", "entity without scope"],
)
def test_a_setting_that_contradicts_itself_is_refused(
    app: Connection, tenant: UUID, value: str, columns: dict[str, Any]
) -> None:
    with pytest.raises(errors.CheckViolation):
        setting(app, tenant, value, **columns)


def test_a_secret_in_the_vault_is_taken(app: Connection, tenant: UUID) -> None:
    assert setting(app, tenant, '"vault:smtp/password"', secret=True)


def test_a_change_of_value_is_signed(account: UUID, app: Connection, tenant: UUID) -> None:
    where = setting(app, tenant, '"a"')
    app.execute("SELECT set_config('app.user_account_id', %s, true)", [str(account)])
    signed = one(
        app,
        "UPDATE system_core.setting SET value = '\"b\"' WHERE setting_id = %s RETURNING changed_by",
        where,
    )
    assert signed == account


def test_opening_hours_are_rows(app: Connection, tenant: UUID) -> None:
    app.execute(
        "INSERT INTO system_core.setting (business_id, namespace, setting_key, value_type, value)"
        " VALUES (%s, 'business', 'opening_hours', 'array',"
        """ '[{"weekday": "monday", "opens": "09:00", "closes": "17:30"},"""
        """   {"weekday": "sunday"}]')""",
        [tenant],
    )
    rows = app.execute(
        "SELECT weekday, opens_at::text, closes_at::text FROM system_core.v_opening_hours"
        " ORDER BY weekday"
    ).fetchall()
    assert rows == [("monday", "09:00:00", "17:30:00"), ("sunday", None, None)]


# Document numbers


def test_gapless_numbers_follow_each_other(app: Connection, tenant: UUID) -> None:
    sequence(app, tenant, "invoice", prefix="INV-", next_value=41, step=2)
    assert [take(app, "invoice") for _ in range(3)] == ["INV-0041", "INV-0043", "INV-0045"]
    assert next_value(app, "invoice") == 47


def test_a_rolled_back_number_is_given_again(app: Connection, tenant: UUID) -> None:
    for gapless, code in ((True, "invoice"), (False, "ticket")):
        sequence(app, tenant, code, is_gapless=gapless)
        take(app, code)
        with app.transaction(force_rollback=True):
            lost = take(app, code)
        assert take(app, code) == lost


def test_a_fast_sequence_touches_its_row_once_in_20_numbers(app: Connection, tenant: UUID) -> None:
    sequence(app, tenant, "ticket", is_gapless=False, next_value=5)
    assert take(app, "ticket") == "0005"
    assert next_value(app, "ticket") == 25
    assert [take(app, "ticket") for _ in range(20)] == [f"{n:04}" for n in range(6, 26)]
    assert next_value(app, "ticket") == 45


def test_a_number_wider_than_its_padding_is_whole(app: Connection, tenant: UUID) -> None:
    sequence(app, tenant, "invoice", next_value=123456)
    assert take(app, "invoice") == "123456"


@pytest.mark.parametrize("gapless", [True, False])
def test_numbers_start_over_with_the_period(app: Connection, tenant: UUID, gapless: bool) -> None:
    sequence(
        app,
        tenant,
        "receipt",
        prefix="R{YYYY}-",
        reset_period="yearly",
        is_gapless=gapless,
        next_value=900,
        last_reset_on=date(2020, 1, 1),
    )
    year = one(app, "SELECT to_char(now() AT TIME ZONE 'America/Chicago', 'YYYY')")
    assert [take(app, "receipt") for _ in range(2)] == [f"R{year}-0001", f"R{year}-0002"]


def test_a_location_without_its_own_sequence_shares(app: Connection, tenant: UUID) -> None:
    sequence(app, tenant, "invoice", prefix="ALL-")
    sequence(app, tenant, "invoice", prefix="NORTH-", location_code="north")
    assert take(app, "invoice", "north") == "NORTH-0001"
    assert take(app, "invoice", "south") == "ALL-0001"


def test_an_unknown_sequence_is_an_error(app: Connection) -> None:
    with pytest.raises(errors.NoDataFound, match="no number sequence invoice"):
        take(app, "invoice")


def test_a_sequence_does_not_go_back(app: Connection, tenant: UUID) -> None:
    sequence(app, tenant, "invoice", next_value=10)
    with pytest.raises(errors.CheckViolation, match="cannot go back"):
        app.execute("UPDATE system_core.number_sequence SET next_value = 9")


@pytest.mark.parametrize(
    ("period", "prefix"),
    [("yearly", "INV-"), ("monthly", "{YYYY}-"), ("daily", "{YYYY}{MM}-")],
)
def test_a_prefix_that_would_repeat_numbers_is_refused(
    app: Connection, tenant: UUID, period: str, prefix: str
) -> None:
    with pytest.raises(errors.CheckViolation):
        sequence(app, tenant, "invoice", reset_period=period, prefix=prefix)


# Money


def convert(app: Connection, amount: str, source: str, target: str, day: str) -> Decimal:
    """The amount in the other currency."""
    return one(app, "SELECT system_core.convert_money(%s, %s, %s, %s)", amount, source, target, day)


def test_money_is_converted_with_the_last_rate(app: Connection, tenant: UUID) -> None:
    rate(app, tenant, "EUR/USD", "2025-03-01", "1.00")
    rate(app, tenant, "EUR/USD", "2025-03-07", "1.10")
    rate(app, tenant, "EUR/USD", "2025-03-09", "9.00")
    assert convert(app, "10", "EUR", "USD", "2025-03-08") == Decimal("11.00")
    assert convert(app, "11", "USD", "EUR", "2025-03-08") == Decimal("10.00")
    assert convert(app, "7", "USD", "USD", "1990-01-01") == Decimal("7.00")


def test_a_rate_serves_seven_days(app: Connection, tenant: UUID) -> None:
    rate(app, tenant, "EUR/USD", "2025-03-01", "1.50")
    assert convert(app, "2", "EUR", "USD", "2025-03-08") == Decimal("3.00")
    with pytest.raises(errors.NoDataFound, match="no rate from EUR to USD"):
        convert(app, "2", "EUR", "USD", "2025-03-09")


def test_a_rate_entered_by_hand_goes_before_fetched_ones(app: Connection, tenant: UUID) -> None:
    rate(app, tenant, "EUR/USD", "2025-03-01", "1.50")
    rate(app, tenant, "EUR/USD", "2025-03-01", "2", "manual")
    assert convert(app, "2", "EUR", "USD", "2025-03-01") == Decimal("4.00")


@pytest.mark.parametrize("change", ["UPDATE {} SET mid_rate = 2", "DELETE FROM {}"])
def test_a_locked_rate_stays(app: Connection, tenant: UUID, change: str) -> None:
    rate(app, tenant, "EUR/USD", "2025-03-01", "1.50")
    app.execute("UPDATE system_core.exchange_rate SET is_locked = true")
    with pytest.raises(errors.RestrictViolation, match="is locked"):
        app.execute(change.format("system_core.exchange_rate").encode())


def test_buying_is_cheaper_than_selling(app: Connection, tenant: UUID) -> None:
    where = rate(app, tenant, "EUR/USD", "2025-03-01", "1.50")
    with pytest.raises(errors.CheckViolation):
        app.execute(
            "UPDATE system_core.exchange_rate SET buy_rate = 1.51 WHERE exchange_rate_id = %s",
            [where],
        )


# Calendars


def working_day(app: Connection, start: str, days: int) -> date:
    """The n-th working day after a date."""
    return one(app, "SELECT system_core.add_working_days(%s, %s)", start, days)


def test_weekends_and_holidays_are_not_worked(app: Connection, tenant: UUID) -> None:
    calendar(app, tenant, ("2025-07-04", "public"), ("2025-07-07", "half_day"))
    assert working_day(app, "2025-07-02", 1) == date(2025, 7, 3)
    assert working_day(app, "2025-07-02", 2) == date(2025, 7, 7)
    assert working_day(app, "2025-07-02", 250) > date(2026, 6, 1)


def test_the_observed_day_is_the_closed_one(app: Connection, tenant: UUID) -> None:
    calendar(app, tenant, ("2026-07-05", "public"))
    app.execute("UPDATE system_core.holiday SET observed_date = '2026-07-06'")
    assert working_day(app, "2026-07-03", 1) == date(2026, 7, 7)


def test_without_a_calendar_there_is_no_answer(app: Connection) -> None:
    assert working_day(app, "2025-07-02", 1) is None


def test_one_calendar_is_the_default(app: Connection, tenant: UUID) -> None:
    calendar(app, tenant)
    with pytest.raises(errors.UniqueViolation):
        app.execute(
            "INSERT INTO system_core.holiday_calendar (business_id, code, name, country_code,"
            " valid_from, is_default) VALUES (%s, 'de', 'DE', 'DE', '2020-01-01', true)",
            [tenant],
        )


@pytest.mark.parametrize(
    "change",
    ["observed_date = holiday_date + 4", "opens_at = '09:00'", "kind = 'half_day'"],
)
def test_a_holiday_that_contradicts_itself_is_refused(
    app: Connection, tenant: UUID, change: str
) -> None:
    calendar(app, tenant, ("2025-07-04", "public"))
    with pytest.raises(errors.CheckViolation):
        app.execute(f"UPDATE system_core.holiday SET {change}".encode())


# Partitions: as the owner of the tables, which is under row security like everybody else


@pytest.fixture
def owner(admin: Connection, tenant: UUID) -> Connection:
    """The owner of the schema working for the platform operator, with a table cut by month."""
    admin.execute(
        "UPDATE tenant_mgmt.business SET is_platform_operator = true WHERE business_id = %s",
        [tenant],
    )
    admin.execute("SET LOCAL ROLE app_owner")
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    admin.execute(
        "CREATE TABLE system_core.reading (business_id uuid NOT NULL, at timestamptz NOT NULL)"
        " PARTITION BY RANGE (at)"
    )
    admin.execute(
        "ALTER TABLE system_core.reading ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
    )
    admin.execute(
        "CREATE POLICY tenant_isolation ON system_core.reading"
        " USING (business_id = tenant_mgmt.current_business_id())"
    )
    admin.execute(
        "CREATE TABLE system_core.reading_default PARTITION OF system_core.reading DEFAULT"
    )
    return admin


def partition_policy(owner: Connection, tenant: UUID, **columns: Any) -> None:
    """A policy of system_core.reading: 2 ahead, 2 behind."""
    given = {"column": "at", "kind": "month", "action": "keep_detached", **columns}
    owner.execute(
        "INSERT INTO system_core.partition_policy (business_id, schema_name, table_name,"
        " premake_count, retain_count, time_column, interval_kind, detach_action)"
        " VALUES (%s, 'system_core', 'reading', 2, 2, %s, %s, %s)",
        [tenant, *given.values()],
    )


def make_partitions(owner: Connection, behind: int) -> None:
    """The partitions of the last months."""
    owner.execute(
        "SELECT system_core.create_partitions('system_core.reading', 'month', %s, 0)", [behind]
    )


def maintain(owner: Connection) -> tuple[str, int, list[str], int]:
    """Outcome, created, retired and rows in the default partition."""
    row = owner.execute(
        "SELECT outcome, created, retired, default_rows FROM system_core.maintain_partitions()"
    ).fetchone()
    assert row
    return row


def test_partitions_are_made_ahead(owner: Connection, tenant: UUID) -> None:
    partition_policy(owner, tenant)
    assert maintain(owner) == ("done", 3, [], 0)
    assert maintain(owner) == ("done", 0, [], 0)
    is_ahead = one(
        owner,
        "SELECT last_partition_upper = date_trunc('month', now(), 'UTC') + interval '3 months'"
        " FROM system_core.partition_policy",
    )
    assert is_ahead


def test_old_partitions_are_detached_and_kept(owner: Connection, tenant: UUID) -> None:
    partition_policy(owner, tenant)
    make_partitions(owner, behind=4)
    outcome, _, retired, _ = maintain(owner)
    assert outcome == "done"
    assert len(retired) == 2
    kept = one(
        owner, "SELECT count(to_regclass('system_core.' || x)) FROM unnest(%s::text[]) x", retired
    )
    assert kept == 2


def test_an_archived_partition_says_so(owner: Connection, tenant: UUID) -> None:
    partition_policy(owner, tenant, action="archive")
    make_partitions(owner, behind=3)
    (name,) = maintain(owner)[2]
    assert one(owner, "SELECT to_regclass('system_core.' || %s || '_archived')", name)


def test_only_empty_partitions_are_dropped(owner: Connection, tenant: UUID) -> None:
    """The full one holds a row of another tenant, which the owner cannot see."""
    partition_policy(owner, tenant, action="drop")
    make_partitions(owner, behind=4)
    owner.execute("RESET ROLE")
    owner.execute(
        "INSERT INTO system_core.reading VALUES (%s, now() - interval '4 months')", [UUID(int=7)]
    )
    owner.execute("SET LOCAL ROLE app_owner")
    retired = maintain(owner)[2]
    there = owner.execute(
        "SELECT to_regclass('system_core.' || x) IS NOT NULL FROM unnest(%s::text[]) x ORDER BY x",
        [retired],
    ).fetchall()
    assert there == [(True,), (False,)]


def test_a_tenant_does_not_retire_the_rows_of_others(owner: Connection, tenant: UUID) -> None:
    partition_policy(owner, tenant)
    make_partitions(owner, behind=4)
    owner.execute("UPDATE tenant_mgmt.business SET is_platform_operator = false")
    assert maintain(owner) == ("done", 2, [], 0)


def test_rows_in_the_way_are_reported_and_stay(owner: Connection, tenant: UUID) -> None:
    owner.execute("INSERT INTO system_core.reading VALUES (%s, now())", [tenant])
    partition_policy(owner, tenant)
    outcome, created, _, leftovers = maintain(owner)
    assert "default partition" in outcome
    assert (created, leftovers) == (0, 1)
    assert one(owner, "SELECT default_partition_rows FROM system_core.partition_policy") == 1


@pytest.mark.parametrize(
    ("columns", "outcome"),
    [
        ({"kind": "day"}, "is not cut by the day"),
        ({"column": "on"}, "system_core.reading is no table partitioned by on"),
    ],
)
def test_a_policy_that_does_not_fit_changes_nothing(
    owner: Connection, tenant: UUID, columns: dict[str, str], outcome: str
) -> None:
    make_partitions(owner, behind=4)
    partition_policy(owner, tenant, **columns)
    assert maintain(owner) == (outcome, 0, [], None)


@pytest.mark.parametrize("function", ["maintain_partitions", "refresh_stale_views"])
def test_maintenance_is_not_for_the_application(app: Connection, function: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        app.execute(f"SELECT * FROM system_core.{function}()".encode())


# Materialized views: as their owner


@pytest.fixture
def keeper(admin: Connection, tenant: UUID) -> Connection:
    """The owner of two materialized views, the second of which reads the first."""
    for name, source, index in (
        ("mv_z", "tenant_mgmt.business", "UNIQUE"),
        ("mv_a", "system_core.mv_z", ""),
    ):
        admin.execute(
            f"CREATE MATERIALIZED VIEW system_core.{name} AS SELECT business_id FROM {source}"
            " WITH NO DATA".encode()
        )
        admin.execute(f"CREATE {index} INDEX ON system_core.{name} (business_id)".encode())
        admin.execute(f"ALTER MATERIALIZED VIEW system_core.{name} OWNER TO matview_owner".encode())
    admin.execute("GRANT SELECT ON tenant_mgmt.business TO matview_owner")
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    for name, depends_on in (("mv_z", []), ("mv_a", ["system_core.mv_z"])):
        admin.execute(
            "INSERT INTO system_core.materialized_view_policy (business_id, schema_name,"
            " view_name, depends_on) VALUES (%s, 'system_core', %s, %s)",
            [tenant, name, depends_on],
        )
    admin.execute("SET LOCAL ROLE matview_owner")
    return admin


def refresh(keeper: Connection) -> list[tuple[str, str]]:
    """View and outcome, in order."""
    return keeper.execute(
        "SELECT view_name, outcome FROM system_core.refresh_stale_views()"
    ).fetchall()


def test_sources_are_refreshed_first_and_fresh_views_not(keeper: Connection) -> None:
    assert refresh(keeper) == [("mv_z", "refreshed"), ("mv_a", "refreshed")]
    assert refresh(keeper) == []
    assert one(keeper, "SELECT min(last_row_count) FROM system_core.materialized_view_policy") >= 1


def test_without_a_unique_index_nothing_is_refreshed_concurrently(keeper: Connection) -> None:
    refresh(keeper)
    keeper.execute(
        "UPDATE system_core.materialized_view_policy"
        " SET last_refreshed_at = last_refreshed_at - interval '1 day'"
    )
    assert refresh(keeper) == [
        ("mv_z", "refreshed"),
        ("mv_a", "needs a unique index to be refreshed concurrently"),
    ]


def test_a_view_that_is_gone_does_not_stop_the_others(keeper: Connection) -> None:
    keeper.execute("DROP MATERIALIZED VIEW system_core.mv_a")
    assert refresh(keeper) == [("mv_z", "refreshed"), ("mv_a", "no such materialized view")]


# Indexes


def test_index_advice_names_unused_duplicate_and_missing(admin: Connection) -> None:
    admin.execute("CREATE SCHEMA shelf")
    admin.execute("CREATE TABLE shelf.a (business_id int, a int, PRIMARY KEY (business_id, a))")
    admin.execute(
        "CREATE TABLE shelf.b (business_id int, b int, a int, c int,"
        " PRIMARY KEY (business_id, b), FOREIGN KEY (business_id, a) REFERENCES shelf.a)"
    )
    admin.execute("CREATE INDEX long_idx ON shelf.b (business_id, c, b)")
    admin.execute("CREATE INDEX short_idx ON shelf.b (business_id, c)")
    advice = admin.execute(
        "SELECT advice, table_name, object_name FROM system_core.index_usage_advice('shelf')"
    ).fetchall()
    assert set(advice) == {
        ("unused", "b", "long_idx"),
        ("unused", "b", "short_idx"),
        ("duplicate", "b", "short_idx"),
        ("missing", "b", "b_business_id_a_fkey"),
    }


def test_the_index_of_an_optional_reference_may_be_partial(admin: Connection) -> None:
    admin.execute("CREATE SCHEMA shelf")
    admin.execute("CREATE TABLE shelf.a (business_id int, a int, PRIMARY KEY (business_id, a))")
    admin.execute(
        "CREATE TABLE shelf.b (business_id int, a int,"
        " FOREIGN KEY (business_id, a) REFERENCES shelf.a)"
    )
    admin.execute("CREATE INDEX ON shelf.b (business_id, a) WHERE a IS NOT NULL")
    advice = admin.execute(
        "SELECT advice FROM system_core.index_usage_advice('shelf') WHERE advice = 'missing'"
    ).fetchall()
    assert advice == []


def test_every_foreign_key_of_system_core_has_an_index(admin: Connection) -> None:
    missing = admin.execute(
        "SELECT table_name, object_name, reason"
        " FROM system_core.index_usage_advice('system_core') WHERE advice = 'missing'"
    ).fetchall()
    assert missing == []
