"""Forms are frozen, points judged, colors counted, arrivals trusted."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection
from tests.integration.schema.rows import row
from tests.integration.schema.test_hs_organization import one

TEMPLATE = {
    "draft": {"published", "retired"},
    "published": {"retired"},
    "retired": set(),
}
TEMPLATE_PATHS = {"draft": [], "published": ["published"], "retired": ["retired"]}
INSPECTION = {
    "pending": {"in_progress", "void"},
    "in_progress": {"completed", "void"},
    "completed": {"sent", "in_progress", "void"},
    "sent": {"viewed", "void"},
    "viewed": {"void"},
    "void": set(),
}
INSPECTION_PATHS = {
    "pending": [],
    "in_progress": ["in_progress"],
    "completed": ["in_progress", "completed"],
    "sent": ["in_progress", "completed", "sent"],
    "viewed": ["in_progress", "completed", "sent", "viewed"],
    "void": ["void"],
}
UPLOAD = {"pending": {"uploaded", "failed"}, "failed": {"pending", "uploaded"}, "uploaded": set()}
UPLOAD_PATHS = {"pending": [], "failed": ["failed"], "uploaded": ["uploaded"]}


def move(app: Connection, table: str, column: str, path: list[str]) -> None:
    for state in path:
        app.execute(f"UPDATE auto.{table} SET {column} = %s".encode(), [state])


def point(app: Connection, applies_to: str = "gasoline", **given: Any) -> UUID:
    """A point of a new form: tread at four wheels where nothing else is given."""
    template = row(app, "auto.inspection_template", applies_to=applies_to)
    return row(
        app,
        "auto.inspection_template_item",
        **{
            "inspection_template_id": template,
            "name": "Tread depth",
            "response_kind": "measurement",
            "unit_code": "thirty_seconds_in",
            "wheel_positions": ["lf", "rf", "lr", "rr", "spare"],
            "red_below_value": 2,
            "yellow_below_value": 5,
            **given,
        },
    )


def inspect(app: Connection, item: UUID, **given: Any) -> UUID:
    """An inspection by the form of a point."""
    template = one(
        app,
        "SELECT inspection_template_id FROM auto.inspection_template_item"
        " WHERE inspection_template_item_id = %s",
        item,
    )
    return row(app, "auto.inspection", inspection_template_id=template, **given)


def answer(app: Connection, inspection: UUID, item: UUID, wheel: str = "lr", **given: Any) -> UUID:
    return row(
        app,
        "auto.inspection_result",
        inspection_id=inspection,
        inspection_template_item_id=item,
        wheel_position=wheel,
        **given,
    )


@pytest.mark.parametrize(
    ("table", "column", "moves", "paths", "given"),
    [
        ("inspection_template", "status", TEMPLATE, TEMPLATE_PATHS, {"item_count": 1}),
        (
            "inspection",
            "status",
            INSPECTION,
            INSPECTION_PATHS,
            {
                "started_at": "2026-05-04 10:00+00",
                "completed_at": "2026-05-04 11:00+00",
                "sent_to_customer_at": "2026-05-04 12:00+00",
                "first_viewed_at": "2026-05-04 13:00+00",
                "view_count": 1,
            },
        ),
    ],
)
def test_states_move_along_their_edges(
    app: Connection,
    table: str,
    column: str,
    moves: dict[str, set[str]],
    paths: dict[str, list[str]],
    given: dict[str, Any],
) -> None:
    for old in moves:
        for new in moves.keys() - {old}:
            app.execute("SAVEPOINT edge")
            row(app, f"auto.{table}", **given)
            move(app, table, column, paths[old])
            if new in moves[old]:
                move(app, table, column, [new])
            else:
                with pytest.raises(errors.CheckViolation):
                    move(app, table, column, [new])
            app.execute("ROLLBACK TO edge")


@pytest.mark.parametrize("old", UPLOAD)
@pytest.mark.parametrize("new", UPLOAD)
def test_an_upload_moves_along_its_edges(app: Connection, old: str, new: str) -> None:
    row(
        app,
        "auto.inspection_media",
        inspection_id=row(app, "auto.inspection"),
        file_object_id=row(app, "system_core.file_object"),
    )
    move(app, "inspection_media", "upload_status", UPLOAD_PATHS[old])
    if new == old or new in UPLOAD[old]:
        move(app, "inspection_media", "upload_status", [new])
    else:
        with pytest.raises(errors.CheckViolation):
            move(app, "inspection_media", "upload_status", [new])


def test_a_form_counts_its_points_and_is_published_with_them(app: Connection) -> None:
    template = row(app, "auto.inspection_template")
    with pytest.raises(errors.CheckViolation, match="has no points"), app.transaction():
        move(app, "inspection_template", "status", ["published"])
    row(app, "auto.inspection_template_item", inspection_template_id=template)
    move(app, "inspection_template", "status", ["published"])
    found = app.execute("SELECT item_count, published_at = now() FROM auto.inspection_template")
    assert found.fetchall() == [(1, True)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("UPDATE auto.inspection_template SET name = 'Other'", "is never edited"),
        ("DELETE FROM auto.inspection_template", "is never edited"),
        ("UPDATE auto.inspection_template_item SET name = 'Other'", "points are never edited"),
        ("DELETE FROM auto.inspection_template_item", "points are never edited"),
    ],
)
def test_a_published_form_is_never_edited(app: Connection, change: str, message: str) -> None:
    point(app)
    move(app, "inspection_template", "status", ["published"])
    with pytest.raises(errors.CheckViolation, match=message):
        app.execute(change.encode())


def test_a_published_form_gets_no_points(app: Connection) -> None:
    item = point(app)
    move(app, "inspection_template", "status", ["published"])
    template = one(
        app,
        "SELECT inspection_template_id FROM auto.inspection_template_item"
        " WHERE inspection_template_item_id = %s",
        item,
    )
    with pytest.raises(errors.CheckViolation, match="is published, its points"):
        row(
            app,
            "auto.inspection_template_item",
            inspection_template_id=template,
            item_seq=99,
        )


@pytest.mark.parametrize(
    ("applies_to", "wheel", "depth", "color"),
    [
        ("gasoline", "lf", 1.9, "red"),
        ("gasoline", "lf", 2, "yellow"),
        ("gasoline", "lf", 5, "green"),
        ("heavy_truck", "lf", 3.9, "red"),
        ("heavy_truck", "lf", 5, "yellow"),
        ("heavy_truck", "lr", 3.9, "yellow"),
        ("gasoline", "spare", 1, "yellow"),
    ],
)
def test_a_tire_is_judged_by_its_limit_and_wheel(
    app: Connection, applies_to: str, wheel: str, depth: float, color: str
) -> None:
    item = point(app, applies_to)
    answer(app, inspect(app, item), item, wheel, measured_value=depth)
    found = app.execute(
        "SELECT condition, finding_text IS NOT NULL, unit_code FROM auto.inspection_result"
    ).fetchone()
    assert found == (color, color != "green", "thirty_seconds_in")


def test_a_corrected_measurement_is_judged_again(app: Connection) -> None:
    item = point(app)
    answer(app, inspect(app, item), item, measured_value=1)
    app.execute("UPDATE auto.inspection_result SET measured_value = 8")
    found = app.execute("SELECT red_count, green_count, overall_score FROM auto.inspection")
    assert found.fetchall() == [(0, 1, 100)]


def test_a_point_is_asked_at_its_wheels(app: Connection) -> None:
    item = point(app)
    inspection = inspect(app, item)
    with pytest.raises(errors.CheckViolation, match="is not asked for wheel none"):
        answer(app, inspection, item, "none")


@pytest.mark.parametrize("color", ["red", "yellow"])
def test_a_finding_is_told(app: Connection, color: str) -> None:
    with pytest.raises(errors.CheckViolation, match="inspection_result_finding_is_told"):
        row(app, "auto.inspection_result", condition=color)


def test_colors_are_counted_and_scored(app: Connection) -> None:
    item = point(app)
    inspection = inspect(app, item)
    for wheel, depth in {"lf": 8, "rf": 8, "lr": 4, "rr": 1}.items():
        answer(app, inspection, item, wheel, measured_value=depth)
    counts = (
        b"SELECT green_count, yellow_count, red_count, overall_score::float8 FROM auto.inspection"
    )
    assert app.execute(counts).fetchone() == (2, 1, 1, 62.5)
    app.execute("DELETE FROM auto.service_recommendation")
    app.execute("DELETE FROM auto.inspection_result WHERE wheel_position = 'rr'")
    assert app.execute(counts).fetchone() == (2, 1, 0, 83.33)


def test_a_complete_inspection_answers_every_mandatory_wheel(app: Connection) -> None:
    item = point(app, is_mandatory=True, wheel_positions=["lf", "rf"])
    inspection = inspect(app, item)
    move(app, "inspection", "status", ["in_progress"])
    answer(app, inspection, item, "lf", measured_value=8)
    answer(app, inspection, item, "rf", condition="not_inspected")
    with (
        pytest.raises(errors.CheckViolation, match=r"1 mandatory points .* Tread depth"),
        app.transaction(),
    ):
        move(app, "inspection", "status", ["completed"])
    app.execute(
        "UPDATE auto.inspection_result SET condition = 'not_applicable', answered_at = now()"
        " WHERE wheel_position = 'rf'"
    )
    move(app, "inspection", "status", ["completed"])
    assert one(app, "SELECT completed_at IS NOT NULL FROM auto.inspection") is True


def test_an_inspection_is_numbered_and_has_a_secret_link(app: Connection) -> None:
    row(app, "auto.inspection", inspection_number=None)
    found = app.execute("SELECT inspection_number, length(share_token) FROM auto.inspection")
    number, length = found.fetchone() or ("", 0)
    assert number.startswith("MPI-")
    assert length == 32


@pytest.mark.parametrize(
    ("table", "given", "truth"),
    [
        ("inspection_template", {"estimated_minutes": 0}, "minutes_positive"),
        ("inspection_template_item", {"response_kind": "measurement"}, "measured_in_unit"),
        (
            "inspection_template_item",
            {"red_below_value": 1, "response_kind": "yes_no"},
            "limits_are_measured",
        ),
        ("inspection_template_item", {"wheel_positions": ["lx"]}, "wheels_known"),
        ("inspection", {"share_token": "short"}, "token_not_guessable"),
        ("inspection", {"view_count": 1}, "viewed_is_counted"),
        ("inspection", {"completed_at": "2000-01-01"}, "completed_after_start"),
        ("vehicle_checkin", {"fuel_level_pct": 101}, "fuel_of_tank"),
        ("inspection_media", {}, "of_one_look"),
        ("inspection_media", {"duration_seconds": 5}, "(of_one_look|lasts_if_played)"),
        ("inspection_media", {"upload_status": "uploaded"}, "(of_one_look|uploaded_has_file)"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, given: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=f"{table}_{truth}"):
        row(app, f"auto.{table}", **given)


@pytest.mark.parametrize("kind", ["video", "audio"])
def test_what_is_played_lasts(app: Connection, kind: str) -> None:
    look = row(app, "auto.inspection")
    row(app, "auto.inspection_media", inspection_id=look, media_kind=kind, duration_seconds=9)
    with pytest.raises(errors.CheckViolation, match="lasts_if_played"):
        row(app, "auto.inspection_media", inspection_id=look, duration_seconds=9)


def arrive(app: Connection, vehicle: UUID, odometer: int) -> UUID:
    return row(
        app,
        "auto.vehicle_checkin",
        vehicle_id=vehicle,
        odometer=odometer,
        checked_in_at="2026-05-04 10:00+00",
    )


@pytest.fixture
def driven(app: Connection) -> UUID:
    """A vehicle that was read at 50,000."""
    vehicle = row(app, "auto.vehicle")
    row(
        app,
        "auto.odometer_reading",
        vehicle_id=vehicle,
        odometer=50000,
        read_at="2026-05-01 10:00+00",
    )
    return vehicle


@pytest.mark.parametrize("odometer", [50000, 50400])
def test_an_odometer_goes_on(app: Connection, driven: UUID, odometer: int) -> None:
    arrive(app, driven, odometer)
    assert one(app, "SELECT odometer FROM auto.vehicle_checkin") == odometer


def test_an_odometer_does_not_go_back_unless_it_is_suspect(app: Connection, driven: UUID) -> None:
    with (
        pytest.raises(errors.CheckViolation, match="stood at 50000, it cannot show 49000"),
        app.transaction(),
    ):
        arrive(app, driven, 49000)
    row(
        app,
        "auto.odometer_reading",
        vehicle_id=driven,
        odometer=49000,
        read_at="2026-05-04 09:59+00",
        is_suspect=True,
        suspect_reason="rollback",
    )
    arrive(app, driven, 49000)
    assert one(app, "SELECT odometer FROM auto.vehicle_checkin") == 49000


def test_wear_is_measured_by_the_distance_since_the_last_time(app: Connection) -> None:
    item, vehicle = point(app), row(app, "auto.vehicle")
    template = one(app, "SELECT inspection_template_id FROM auto.inspection_template")
    for day, odometer, depth in (("2026-03-01", 40000, 8), ("2026-05-30", 46000, 6)):
        order = row(app, "auto.repair_order", vehicle_id=vehicle, odometer_in_reading=odometer)
        inspection = row(
            app,
            "auto.inspection",
            inspection_template_id=template,
            repair_order_id=order,
            vehicle_id=vehicle,
            started_at=f"{day} 12:00+00",
        )
        answer(app, inspection, item, "lf", measured_value=depth)
    found = app.execute(
        "SELECT previous_value::integer, round(wear_per_1000_mi, 3)::text, projected_due_on::text"
        " FROM auto.inspection_result WHERE measured_value = 6"
    ).fetchone()
    assert found == (8, "0.333", "2026-11-26")
