"""Recalls are found by VIN, once, and go through their states; a vehicle has one line of time."""

from __future__ import annotations

import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from harness.db import Connection
from tests.integration.schema.rows import row
from tests.integration.schema.test_hs_organization import one

VIN = "1HGCM82633A004352"
RECALL: dict[str, set[str]] = {
    "open": {"notified", "remedied", "not_applicable"},
    "notified": {"referred_to_dealer", "remedied", "declined", "not_applicable"},
    "referred_to_dealer": {"remedied", "declined"},
    "declined": {"notified", "remedied"},
    "remedied": set(),
    "not_applicable": {"open"},
}
WAYS = {
    "open": [],
    "notified": ["notified"],
    "referred_to_dealer": ["notified", "referred_to_dealer"],
    "declined": ["notified", "declined"],
    "remedied": ["remedied"],
    "not_applicable": ["not_applicable"],
}
MOVE = """
    UPDATE auto.vehicle_recall
    SET status = %(to)s, notified_at = '2026-05-05 10:00+00',
        remedied_on = CASE WHEN %(to)s = 'remedied' THEN date '2026-05-06' END
    WHERE vehicle_recall_id = %(recall)s"""
PAIRS = [(source, target) for source in RECALL for target in RECALL if source != target]


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_recall_goes_its_way(app: Connection, source: str, target: str) -> None:
    recall = row(app, "auto.vehicle_recall")
    for step in WAYS[source]:
        app.execute(MOVE, {"to": step, "recall": recall})
    if target in RECALL[source]:
        app.execute(MOVE, {"to": target, "recall": recall})
    else:
        with pytest.raises(errors.CheckViolation, match="cannot become"):
            app.execute(MOVE, {"to": target, "recall": recall})


@pytest.mark.parametrize(
    ("spans", "count"),
    [
        ([{"from": "1HGCM82600A000000", "to": "1HGCM826X9A999999"}], 1),
        ([{"from": VIN, "to": VIN}, {"from": "1HG", "to": "1HH"}], 1),
        ([{"from": "2HG", "to": "2HH"}], 0),
        ([], 0),
    ],
)
def test_recalls_are_found_by_vin_once(
    app: Connection, spans: list[dict[str, str]], count: int
) -> None:
    vehicle = row(app, "auto.vehicle", vin=VIN)
    row(app, "auto.recall_campaign", vin_ranges=Jsonb(spans))
    assert one(app, "SELECT auto.find_recalls(%s)", vehicle) == count
    assert one(app, "SELECT auto.find_recalls(%s)", vehicle) == 0
    found = "SELECT count(*) FROM auto.vehicle_recall WHERE vehicle_id = %s AND status = 'open'"
    assert one(app, found, vehicle) == count


def test_the_timeline_of_a_vehicle_has_its_readings_and_recalls(app: Connection) -> None:
    vehicle = row(app, "auto.vehicle")
    reading = row(
        app, "auto.odometer_reading", vehicle_id=vehicle, odometer=50_000, source="check_in"
    )
    recall = row(app, "auto.vehicle_recall", vehicle_id=vehicle)
    found = app.execute(
        "SELECT kind, source_id FROM auto.v_vehicle_timeline WHERE vehicle_id = %s ORDER BY kind",
        [vehicle],
    ).fetchall()
    assert found == [("odometer", reading), ("recall", recall)]
