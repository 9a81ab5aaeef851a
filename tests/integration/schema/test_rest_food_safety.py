"""Checklists are scored by their answers, food is dated, incidents and inspections are followed."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors, sql

from harness.db import Connection
from tests.integration.schema.rows import row
from tests.integration.schema.test_rest_orders import open_check

ITEMS = [
    {"item_no": 1, "text": "Walk-in", "answer_kind": "temp", "min": 0, "max": 5, "critical": True},
    {"item_no": 2, "text": "Floor swept", "answer_kind": "bool"},
    {"item_no": 3, "text": "Date labels", "answer_kind": "photo", "critical": True},
    {"item_no": 4, "text": "Sanitizer ppm", "answer_kind": "number", "min": 200},
]
GOOD: list[dict[str, Any]] = [
    {"item_no": 1, "value": 3.4},
    {"item_no": 2, "value": True},
    {"item_no": 3, "photo_id": "f1"},
    {"item_no": 4, "value": 250},
]


def change(connection: Connection, table: str, **to: Any) -> None:
    connection.execute(
        sql.SQL("UPDATE rest.{} SET {}").format(
            sql.Identifier(table),
            sql.SQL(", ").join(
                sql.SQL("{} = {}").format(sql.Identifier(k), sql.Literal(v)) for k, v in to.items()
            ),
        )
    )


def found(connection: Connection, query: str, *values: Any) -> list[Any]:
    return connection.execute(query.encode(), values).fetchall()


def label(connection: Connection, **given: Any) -> UUID:
    item = row(connection, "rest.inventory_item")
    return row(connection, "rest.food_label", **{"inventory_item_id": item, **given})


@pytest.mark.parametrize(
    ("table", "columns", "truth"),
    [
        ("safety_checklist", {"items_doc": "[]"}, "active_has_items"),
        ("safety_checklist", {"passing_score_pct": 101}, "passing_score_bounded"),
        ("safety_checklist", {"version_no": 0}, "version_counts_from_1"),
        ("checklist_run", {"state": "in_progress"}, "started_has_time"),
        ("checklist_run", {"completed_at": "2026-05-04"}, "done_is_signed"),
        ("checklist_run", {"minutes_late": -1}, "figures_not_negative"),
        ("food_label", {}, "names_food"),
        ("health_inspection", {"score": 101}, "score_bounded"),
        ("health_inspection", {"result": "fail"}, "follow_up_given"),
        (
            "health_inspection",
            {"result": "fail", "follow_up_due_on": "2026-05-03"},
            "follow_up_after_visit",
        ),
        ("inspection_violation", {"due_on": None}, "is_due"),
        ("inspection_violation", {"points_deducted": -1}, "points_not_negative"),
        ("food_safety_incident", {"reported_at": "2026-05-04 09:00+00"}, "follows_occurred_at"),
        ("food_safety_incident", {"people_affected": -1}, "people_not_negative"),
        ("food_safety_incident", {"regulator_notified_at": "2026-05-01"}, "notified_after_event"),
    ],
)
def test_what_cannot_be_is_refused(
    app: Connection, table: str, columns: dict[str, Any], truth: str
) -> None:
    with pytest.raises(errors.CheckViolation, match=rf"{table}_.*{truth}"):
        row(app, f"rest.{table}", **columns)


class TestChecklist:
    """A run scores what its answers say, whatever was ticked."""

    @pytest.fixture
    def run(self, app: Connection) -> UUID:
        """A run in progress of four items, of which three must be in order."""
        made = row(
            app,
            "rest.safety_checklist",
            items_doc=json.dumps(ITEMS),
            passing_score_pct=75,
            location_id=row(app, "rest.location"),
        )
        return row(
            app,
            "rest.checklist_run",
            safety_checklist_id=made,
            state="in_progress",
            due_at="2026-05-04 10:00+00",
            started_at="2026-05-04 10:00+00",
            performed_by_staff_id=row(app, "rest.staff_member"),
        )

    def finish(self, connection: Connection, answers: list[Any], state: str = "completed") -> Any:
        change(
            connection,
            "checklist_run",
            state=state,
            answers_doc=json.dumps(answers),
            completed_at="2026-05-04 10:25+00",
        )
        query = "SELECT state, score_pct, failed_count, minutes_late FROM rest.checklist_run"
        return found(connection, query)[0]

    def test_items_are_counted(self, app: Connection, run: UUID) -> None:
        assert found(app, "SELECT item_count FROM rest.safety_checklist") == [(4,)]

    @pytest.mark.parametrize(
        ("answers", "state", "score", "failed"),
        [
            (GOOD, "completed", 100, 0),
            ([*GOOD[1:], {"item_no": 1, "value": 5}], "completed", 100, 0),
            ([*GOOD[1:], {"item_no": 1, "value": 5.1, "ok": True}], "completed", 75, 1),
            ([*GOOD[1:], {"item_no": 1, "value": "warm"}], "completed", 75, 1),
            ([*GOOD[1:], {"item_no": 1, "value": 3, "ok": False}], "completed", 75, 1),
            (GOOD[2:], "failed", 50, 2),
            ([{"item_no": 2, "value": False}, *GOOD[3:]], "failed", 25, 3),
            ([], "failed", 0, 4),
        ],
    )
    def test_the_score_follows_from_the_answers(
        self,
        app: Connection,
        run: UUID,
        answers: list[Any],
        state: str,
        score: int,
        failed: int,
    ) -> None:
        assert self.finish(app, answers) == (state, Decimal(score), failed, 25)

    def test_a_score_that_is_typed_in_does_not_count(self, app: Connection, run: UUID) -> None:
        change(app, "checklist_run", score_pct=1, failed_count=3)
        assert self.finish(app, GOOD, "failed") == ("completed", Decimal(100), 0, 25)

    def test_failed_critical_items_are_found(self, app: Connection, run: UUID) -> None:
        self.finish(app, [{"item_no": 1, "value": 9, "note": "door"}, *GOOD[3:]])
        query = "SELECT * FROM rest.failed_critical_items(%s)"
        critical = [(1, "Walk-in", "9", "door"), (3, "Date labels", None, None)]
        assert found(app, query, run) == critical
        query = "SELECT item_no, question, answer, note FROM rest.v_failed_critical_item ORDER BY 1"
        assert found(app, query) == critical

    def test_a_run_that_is_not_done_has_failed_nothing(self, app: Connection, run: UUID) -> None:
        assert found(app, "SELECT * FROM rest.failed_critical_items(%s)", run) == []

    def test_a_failed_critical_item_opens_a_corrective_action(
        self, app: Connection, run: UUID
    ) -> None:
        self.finish(app, [*GOOD[1:], {"item_no": 1, "value": 9}])
        query = "SELECT checklist_run_id, deviation_text, state FROM rest.corrective_action"
        assert found(app, query) == [(run, "1. Walk-in: 9", "open")]

    def test_a_failed_score_opens_a_corrective_action(self, app: Connection, run: UUID) -> None:
        change(app, "safety_checklist", title="The same")
        self.finish(app, [*GOOD[:1], *GOOD[2:3]])
        query = "SELECT deviation_text FROM rest.corrective_action"
        assert found(app, query) == [("Score 50.0000",)]

    def test_a_small_fault_opens_none(self, app: Connection, run: UUID) -> None:
        self.finish(app, [*GOOD[:1], *GOOD[2:]])
        assert found(app, "SELECT FROM rest.corrective_action") == []

    @pytest.mark.parametrize(
        "to",
        [
            {"answers_doc": "[]"},
            {"score_pct": 100},
            {"completed_at": "2026-05-04 10:00+00"},
            {"due_at": "2026-05-04 12:00+00"},
        ],
    )
    def test_a_done_run_stands(self, app: Connection, run: UUID, to: dict[str, Any]) -> None:
        self.finish(app, GOOD[2:])
        with pytest.raises(errors.CheckViolation, match="is done, it stands"):
            change(app, "checklist_run", **to)

    def test_another_reviews_it(self, app: Connection, run: UUID) -> None:
        self.finish(app, GOOD)
        change(app, "checklist_run", reviewed_by_staff_id=row(app, "rest.staff_member"))
        with pytest.raises(errors.CheckViolation, match="reviewed_by_another"):
            app.execute("UPDATE rest.checklist_run SET reviewed_by_staff_id=performed_by_staff_id")

    def test_nobody_reviews_what_is_not_done(self, app: Connection, run: UUID) -> None:
        with pytest.raises(errors.CheckViolation, match="reviewed_when_done"):
            change(app, "checklist_run", reviewed_by_staff_id=row(app, "rest.staff_member"))

    def test_a_version_that_was_run_stands(self, app: Connection, run: UUID) -> None:
        change(app, "safety_checklist", title="Another title")
        with pytest.raises(errors.CheckViolation, match=r"version 1 of checklist .* was run"):
            change(app, "safety_checklist", passing_score_pct=10)

    def test_a_version_that_was_not_run_may_change(self, app: Connection) -> None:
        row(app, "rest.safety_checklist")
        change(app, "safety_checklist", items_doc=json.dumps(ITEMS))
        assert found(app, "SELECT item_count FROM rest.safety_checklist") == [(4,)]

    @pytest.mark.parametrize(
        ("items", "fault"),
        [
            ([{"text": "?", "answer_kind": "bool"}], "item 1 .* has no number"),
            ([ITEMS[0], ITEMS[0]], "has the number of another"),
            ([{"item_no": 1, "text": " ", "answer_kind": "bool"}], "asks nothing"),
            ([{"item_no": 1, "text": "?", "answer_kind": "x"}], "unknown kind of answer"),
            ([ITEMS[1], {**ITEMS[0], "min": 6}], "item 2 .* has a least above its most"),
            ([{**ITEMS[1], "max": 6}], "has bounds but no number"),
        ],
    )
    def test_items_that_make_no_sense_are_refused(
        self, app: Connection, items: list[Any], fault: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=fault):
            row(app, "rest.safety_checklist", items_doc=json.dumps(items))

    def test_a_run_is_missed_when_the_next_is_due(self, app: Connection, run: UUID) -> None:
        missed = "SELECT rest.miss_checklist_runs('2026-05-05 12:00+00')"
        assert found(app, missed) == [(0,)]
        app.execute(
            "INSERT INTO rest.checklist_run (business_id, safety_checklist_id, location_id,"
            " business_date, due_at) SELECT business_id, safety_checklist_id, location_id,"
            " '2026-05-05', '2026-05-05 10:00+00' FROM rest.checklist_run"
        )
        assert found(app, missed) == [(1,)]
        query = "SELECT state FROM rest.checklist_run ORDER BY due_at"
        assert found(app, query) == [("missed",), ("pending",)]


MACHINES: dict[str, tuple[str, dict[str, set[str]], dict[str, tuple[str, ...]]]] = {
    "checklist_run": (
        "pending",
        {
            "pending": {"in_progress", "missed"},
            "in_progress": {"completed", "failed", "missed"},
            "completed": set(),
            "missed": set(),
            "failed": set(),
        },
        {
            "pending": (),
            "in_progress": ("in_progress",),
            "completed": ("in_progress", "completed"),
            "missed": ("missed",),
            "failed": ("in_progress", "failed"),
        },
    ),
    "food_label": (
        "active",
        {
            "active": {"used", "discarded", "expired"},
            "expired": {"discarded"},
            "used": set(),
            "discarded": set(),
        },
        {
            "active": (),
            "expired": ("expired",),
            "used": ("used",),
            "discarded": ("discarded",),
        },
    ),
    "food_safety_incident": (
        "open",
        {
            "open": {"investigating", "closed"},
            "investigating": {"closed"},
            "closed": {"investigating"},
        },
        {"open": (), "investigating": ("investigating",), "closed": ("closed",)},
    ),
}
EDGES = [
    (table, old, new)
    for table, (_, edges, _) in MACHINES.items()
    for old, new in permutations(edges, 2)
]


def go(connection: Connection, table: str, state: str) -> None:
    """Changes the state with what the new state asks for."""
    needs: dict[str, dict[str, Any]] = {
        "checklist_run": {
            "completed_at": "2026-05-04 11:00+00" if state in ("completed", "failed") else None,
            "answers_doc": json.dumps([] if state == "failed" else [{"item_no": 1, "value": True}]),
        },
        "food_label": {"discarded_at": "2036-05-05" if state == "discarded" else None},
        "food_safety_incident": {"closed_at": "2026-05-06" if state == "closed" else None},
    }
    change(connection, table, state=state, **needs[table])


@pytest.mark.parametrize(("table", "old", "new"), EDGES)
def test_states_follow_their_paths(app: Connection, table: str, old: str, new: str) -> None:
    _, edges, paths = MACHINES[table]
    if table == "food_label":
        label(app, prepared_at="2036-05-04", use_by_at="2036-05-05")
    elif table == "checklist_run":
        row(
            app,
            "rest.checklist_run",
            started_at="2026-05-04",
            performed_by_staff_id=row(app, "rest.staff_member"),
        )
    else:
        row(app, f"rest.{table}")
    for state in paths[old]:
        go(app, table, state)
    if new in edges[old]:
        go(app, table, new)
        assert found(app, f"SELECT state FROM rest.{table}") == [(new,)]
    else:
        with pytest.raises(errors.CheckViolation, match=f"{old} cannot become {new}|it stands"):
            go(app, table, new)


class TestLabel:
    """Food is used before its time, or thrown away."""

    @pytest.mark.parametrize(
        ("kind", "hours"),
        [
            ("prep", 168),
            ("opened", 168),
            ("thawed", 168),
            ("time_hold_hot", 4),
            ("time_hold_cold", 6),
        ],
    )
    def test_it_is_dated_at_most_so_far_ahead(self, app: Connection, kind: str, hours: int) -> None:
        made = label(app, label_kind=kind)
        later = "UPDATE rest.food_label SET use_by_at = prepared_at + %s * interval '1 second'"
        app.execute(later.encode(), [hours * 3600])
        assert found(app, "SELECT food_label_id FROM rest.food_label") == [(made,)]
        with pytest.raises(errors.CheckViolation, match="used_in_time"):
            app.execute(later.encode(), [hours * 3600 + 1])

    def test_it_is_used_before_its_time(self, app: Connection) -> None:
        label(app)
        with pytest.raises(errors.CheckViolation, match=r"ran out at .* is not used"):
            change(app, "food_label", state="used")

    def test_labels_expire(self, app: Connection) -> None:
        label(app)
        label(app, use_by_at="2026-05-08")
        moment = "2026-05-06 00:00+00"
        assert found(app, "SELECT rest.expire_food_labels(%s)", moment) == [(1,)]
        query = "SELECT state FROM rest.food_label ORDER BY use_by_at"
        assert found(app, query) == [("expired",), ("active",)]

    @pytest.mark.parametrize(
        ("columns", "truth"),
        [
            ({"use_by_at": "2026-05-04 10:00+00"}, "used_in_time"),
            ({"quantity": 0}, "quantity_positive"),
            ({"discarded_at": "2026-05-04 12:00+00"}, "discarded_has_time"),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, app: Connection, columns: dict[str, Any], truth: str
    ) -> None:
        with pytest.raises(errors.CheckViolation, match=truth):
            label(app, **columns)


class TestIncident:
    """A serious incident is told to the regulator, or it is said why not."""

    @pytest.mark.parametrize("severity", ["serious", "critical"])
    def test_a_serious_one_is_told_or_explained(self, app: Connection, severity: str) -> None:
        row(app, "rest.food_safety_incident", severity=severity)
        close = {"state": "closed", "closed_at": "2026-05-06"}
        with (
            pytest.raises(errors.CheckViolation, match="serious_is_told_or_explained"),
            app.transaction(),
        ):
            change(app, "food_safety_incident", **close)
        with app.transaction(force_rollback=True):
            change(app, "food_safety_incident", **close, root_cause="Not ours: flu at the school")
        change(app, "food_safety_incident", **close, regulator_notified_at="2026-05-05")
        assert found(app, "SELECT state FROM rest.food_safety_incident") == [("closed",)]

    def test_its_order_was_served_there_before(self, app: Connection) -> None:
        open_check(app, opened_at="2026-05-04 09:00+00")
        placed = found(app, "SELECT guest_order_id, location_id FROM rest.guest_order")[0]
        order = {"guest_order_id": placed[0]}
        row(app, "rest.food_safety_incident", **order, location_id=placed[1])
        for wrong in ({}, {"location_id": placed[1], "occurred_at": "2026-05-04 08:00+00"}):
            with (
                pytest.raises(errors.CheckViolation, match="was not served there before"),
                app.transaction(),
            ):
                row(app, "rest.food_safety_incident", **order, **wrong)


class TestInspection:
    """Violations count for their inspection, and are repeats when found before."""

    def test_priority_violations_are_counted(self, app: Connection) -> None:
        visit = row(app, "rest.health_inspection", critical_count=0)
        counted = "SELECT critical_count FROM rest.health_inspection"
        for code, category in (("3-1", "priority"), ("3-2", "core"), ("3-3", "priority")):
            row(
                app,
                "rest.inspection_violation",
                health_inspection_id=visit,
                code_reference=code,
                category=category,
            )
        assert found(app, counted) == [(2,)]
        app.execute("UPDATE rest.inspection_violation SET category = 'core'")
        assert found(app, counted) == [(0,)]
        app.execute("UPDATE rest.inspection_violation SET category = 'priority'")
        app.execute("DELETE FROM rest.inspection_violation WHERE code_reference = '3-1'")
        assert found(app, counted) == [(2,)]

    @pytest.mark.parametrize(
        ("visit", "violation", "repeated"),
        [
            ({}, {}, True),
            ({"agency": "Auditor"}, {}, False),
            ({"inspected_on": "2026-05-04"}, {}, False),
            ({}, {"code_reference": "4-2"}, False),
        ],
    )
    def test_what_was_found_before_is_a_repeat(
        self, app: Connection, visit: dict[str, Any], violation: dict[str, Any], repeated: bool
    ) -> None:
        site = row(app, "rest.location")
        first = row(app, "rest.health_inspection", location_id=site, agency="County")
        row(app, "rest.inspection_violation", health_inspection_id=first, code_reference="3-5")
        columns = {"agency": "County", "inspected_on": "2026-11-04", **visit}
        second = row(app, "rest.health_inspection", location_id=site, **columns)
        columns = {"code_reference": "3-5", "due_on": "2026-11-10", **violation}
        row(app, "rest.inspection_violation", health_inspection_id=second, **columns)
        query = "SELECT is_repeat FROM rest.inspection_violation WHERE health_inspection_id = %s"
        assert found(app, query, second) == [(repeated,)]

    def test_what_is_corrected_on_site_is_corrected_that_day(self, app: Connection) -> None:
        row(app, "rest.inspection_violation", corrected_on_site=True, due_on=None)
        query = "SELECT corrected_on::text FROM rest.inspection_violation"
        assert found(app, query) == [("2026-05-04",)]

    @pytest.mark.parametrize(
        "columns",
        [
            {"corrected_on": "2026-05-03"},
            {"due_on": "2026-05-03"},
            {"corrected_on": "2026-05-05", "corrected_on_site": True},
        ],
    )
    def test_nothing_is_corrected_before_it_is_found(
        self, app: Connection, columns: dict[str, Any]
    ) -> None:
        with pytest.raises(errors.CheckViolation, match="it was not corrected or due then"):
            row(app, "rest.inspection_violation", **columns)
