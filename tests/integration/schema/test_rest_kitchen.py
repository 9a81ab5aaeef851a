"""The brands of a kitchen share it, a slot is not oversold, a listing says why it paused."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from harness.db import Connection, Target
from tests.integration.conftest import add_tenant, become_app
from tests.integration.schema.rows import row


def host(connection: Connection, kitchen: UUID, share: float, status: str = "live") -> UUID:
    """A brand of its own that gets a share of the kitchen."""
    return row(
        connection,
        "rest.brand_kitchen",
        kitchen_id=kitchen,
        capacity_share_pct=share,
        status=status,
    )


def test_live_brands_share_at_most_the_kitchen(app: Connection) -> None:
    kitchen = row(app, "rest.kitchen", display_name="Dock 7")
    host(app, kitchen, 60)
    host(app, kitchen, 90, status="paused")
    host(app, kitchen, 40)
    with pytest.raises(errors.CheckViolation, match=r"Dock 7 would share 100\.1 percent"):
        host(app, kitchen, 0.1)


def test_a_paused_brand_comes_back_only_where_there_is_room(app: Connection) -> None:
    kitchen = row(app, "rest.kitchen")
    host(app, kitchen, 60)
    host(app, kitchen, 50, status="paused")
    with pytest.raises(errors.CheckViolation, match=r"would share 110\.0 percent"):
        app.execute("UPDATE rest.brand_kitchen SET status = 'live'")


def test_two_brands_that_come_at_once_do_not_oversell_it(
    deployed: Target, copy_of: Callable[[Target], Target]
) -> None:
    target = copy_of(deployed)
    with psycopg.connect(target.admin) as connection:
        tenant = add_tenant(connection, "first")
        become_app(connection, tenant)
        kitchen = row(connection, "rest.kitchen")
        brands = [row(connection, "rest.virtual_brand") for _ in range(4)]

    def come(brand: UUID) -> bool:
        with psycopg.connect(target.app) as connection:
            connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
            try:
                row(
                    connection,
                    "rest.brand_kitchen",
                    kitchen_id=kitchen,
                    virtual_brand_id=brand,
                    capacity_share_pct=40,
                    status="live",
                )
            except errors.CheckViolation:
                connection.rollback()
                return False
        return True

    with ThreadPoolExecutor(len(brands)) as pool:
        assert sum(pool.map(come, brands)) == 2


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("kitchen", {"quoted_prep_minutes": 0}, "quote_bounded"),
        ("kitchen", {"max_parallel_orders": 0}, "takes_orders"),
        ("prep_station", {"late_after_seconds": 480}, "late_after_warning"),
        ("prep_station", {"is_expo": True, "station_kind": "grill"}, "expo_is_expo"),
        ("prep_station", {"parallel_capacity": 0}, "capacity_positive"),
        ("virtual_brand", {"royalty_pct": 51}, "royalty_bounded"),
        ("virtual_brand", {"status": "retired"}, "retired_has_date"),
        ("brand_kitchen", {"status": "ended"}, "ended_has_end"),
        ("brand_kitchen", {"capacity_share_pct": 101}, "share_bounded"),
        ("kitchen_capacity_slot", {"booked_orders": 6}, "never_oversold"),
        ("kitchen_capacity_slot", {"booked_prep_minutes": 61}, "never_oversold"),
        ("kitchen_capacity_slot", {"slot_minutes": 7}, "length_known"),
        ("channel_store_link", {"status": "paused"}, "pause_has_reason"),
        ("channel_store_link", {"paused_until": "2026-05-04"}, "has_end_only_when_paused"),
        ("channel_store_link", {"commission_pct": 41}, "commission_bounded"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"{table}_.*{truth}"):
        row(app, f"rest.{table}", **columns)


def test_a_station_is_not_its_own_backup(app: Connection) -> None:
    row(app, "rest.prep_station")
    with pytest.raises(errors.CheckViolation, match="not_its_own_backup"):
        app.execute("UPDATE rest.prep_station SET backup_station_id = prep_station_id")
