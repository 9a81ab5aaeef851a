"""What must be true of stock, purchases and trucks after a fill."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import psycopg

from datagen.fill import fill
from datagen.plan import FillSettings
from harness.config import Settings
from harness.db import Target

TRUTHS = {
    "a balance is never below zero, and reserved is what is in transit": """
        SELECT FROM hs.stock_balance AS b
        WHERE b.on_hand_qty < 0 OR b.reserved_qty <> coalesce((
            SELECT sum(l.picked_qty)
            FROM hs.stock_transfer AS t
            JOIN hs.stock_transfer_line AS l USING (business_id, stock_transfer_id)
            WHERE t.business_id = b.business_id AND t.status = 'in_transit'
              AND t.from_location_id = b.stock_location_id
              AND l.stock_item_id = b.stock_item_id), 0)""",
    "nothing was taken before it was there": """
        SELECT FROM (
            SELECT sum(p.change) OVER (
                PARTITION BY m.business_id, m.stock_item_id, p.place
                ORDER BY m.moved_at, p.change DESC) AS quantity
            FROM hs.stock_movement AS m
            CROSS JOIN LATERAL (VALUES (m.to_location_id, m.moved_qty::numeric),
                                       (m.from_location_id, -m.moved_qty::numeric))
                AS p (place, change)
            WHERE p.place IS NOT NULL) AS running
        WHERE quantity < 0""",
    "nothing moves after the fill's moment": """
        SELECT FROM hs.stock_movement WHERE moved_at > '2026-06-01 12:00+00'""",
    "what moved has a price": """
        SELECT FROM hs.stock_item AS i
        WHERE i.average_cost = 0 AND EXISTS (
            SELECT FROM hs.stock_movement AS m
            WHERE (m.business_id, m.stock_item_id) = (i.business_id, i.stock_item_id))""",
    "a piece that lies somewhere is in the balance there": """
        SELECT FROM (
            SELECT u.business_id, u.stock_item_id, u.stock_location_id, count(*) AS pieces
            FROM hs.serialized_unit AS u
            WHERE u.stock_location_id IS NOT NULL
            GROUP BY u.business_id, u.stock_item_id, u.stock_location_id) AS u
        LEFT JOIN hs.stock_balance AS b USING (business_id, stock_item_id, stock_location_id)
        WHERE b.on_hand_qty IS DISTINCT FROM u.pieces""",
    "a line received what posted receipts accepted": """
        SELECT FROM hs.purchase_order_line AS l
        WHERE l.received_qty <> coalesce((
            SELECT sum(g.accepted_qty)
            FROM hs.goods_receipt_line AS g
            JOIN hs.goods_receipt AS r USING (business_id, goods_receipt_id)
            WHERE g.business_id = l.business_id AND r.status = 'posted'
              AND g.purchase_order_line_id = l.purchase_order_line_id), 0)""",
    "an order that was received, billed or closed has nothing open": """
        SELECT FROM hs.purchase_order AS o
        JOIN hs.purchase_order_line AS l USING (business_id, purchase_order_id)
        WHERE o.status IN ('received', 'billed', 'closed')
          AND l.received_qty + l.cancelled_qty < l.ordered_qty""",
    "an order totals its lines": """
        SELECT FROM hs.purchase_order AS o
        WHERE o.subtotal_amount <> (
            SELECT coalesce(sum(l.line_total), 0) FROM hs.purchase_order_line AS l
            WHERE (l.business_id, l.purchase_order_id) = (o.business_id, o.purchase_order_id))""",
    "on order is what is open of orders that were sent": """
        SELECT FROM hs.stock_balance AS b
        WHERE b.on_order_qty <> coalesce((
            SELECT sum(l.ordered_qty - l.received_qty - l.cancelled_qty)
            FROM hs.purchase_order AS o
            JOIN hs.purchase_order_line AS l USING (business_id, purchase_order_id)
            WHERE o.business_id = b.business_id AND o.status IN ('sent', 'partially_received')
              AND o.ship_to_location_id = b.stock_location_id
              AND l.stock_item_id = b.stock_item_id), 0)""",
    "nobody drives two trucks today, and nobody one that is in the shop": """
        SELECT FROM hs.truck_assignment AS a
        JOIN hs.truck AS t USING (business_id, truck_id)
        WHERE a.ends_at IS NULL
        GROUP BY a.business_id, a.technician_id
        HAVING count(*) > 1 OR bool_or(t.status IN ('in_shop', 'sold'))""",
    "no report shows more miles than the truck has": """
        SELECT FROM hs.truck_inspection AS i
        JOIN hs.truck AS t USING (business_id, truck_id)
        WHERE i.odometer_mi > t.odometer_mi""",
}


def test_stock_purchases_and_trucks_agree(
    deployed: Target, copy_of: Callable[[Target], Target], settings: Settings
) -> None:
    target = copy_of(deployed)
    wanted = FillSettings(2, 0.02, 7, datetime(2026, 6, 1, 12, tzinfo=UTC))
    assert [told for told in fill(target, settings, wanted).unmet if "hs" in told] == []
    with psycopg.connect(target.admin) as connection:
        for truth, violations in TRUTHS.items():
            assert connection.execute(violations.encode()).fetchall() == [], truth
        for (tenant,) in connection.execute("SELECT business_id FROM tenant_mgmt.business"):
            connection.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
            differences = connection.execute("SELECT * FROM hs.stock_differences()").fetchall()
            assert differences == [], tenant
