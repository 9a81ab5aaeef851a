"""Boards: current, in Grafana's own form, laid out without holes, and readable by everybody."""

from __future__ import annotations

import json
import re
from functools import reduce
from operator import getitem
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.conftest import ROOT
from tests.unit.dashboards.typed import faults

register_default_plugins()
PATHS = sorted((ROOT / "dashboards/grafana").glob("*.json"))
BUILT_IN = {"__rate_interval", "__value", "__url_time_range"}
_VARIABLE = re.compile(r"\$\{?(\w+)(?::\w+)?\}?")


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def board(request: pytest.FixtureRequest) -> dict[str, Any]:
    """One of the boards that are checked in."""
    content: dict[str, Any] = json.loads(request.param.read_text(encoding="utf-8"))
    return content


def _panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def test_there_is_a_board_for_each_question() -> None:
    questions = {"overview", "queries", "isolation", "tenants", "postgres", "storage", "citus"}
    assert {path.stem for path in PATHS} >= questions


def test_a_board_is_what_grafanas_model_reads(board: dict[str, Any]) -> None:
    read = Dashboard.from_json(board)
    for hidden in (*read.links, *read.annotations.list_val):
        hidden.placement = None  # the model's default, a menu, is not the boards'
    assert json.loads(json.dumps(read, cls=JSONEncoder)) == board


def test_every_value_of_a_board_is_of_the_kind_that_grafana_says(board: dict[str, Any]) -> None:
    assert list(faults(Dashboard.from_json(board))) == []


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (("options", "graphMode"), "areas"),
        (("gridPos", "w"), "24"),
        (("fieldConfig", "defaults", "thresholds", "mode"), "relative"),
        (("targets", 0, "range"), "yes"),
        (("targets", 0, "format"), "tables"),
    ],
)
def test_a_value_of_another_kind_is_found(place: tuple[Any, ...], wrong: object) -> None:
    board = json.loads((ROOT / "dashboards/grafana/overview.json").read_text(encoding="utf-8"))
    *path, last = place
    reduce(getitem, path, _panels(board)[0])[last] = wrong
    (told,) = faults(Dashboard.from_json(board))
    assert f"{wrong!r} is no " in told


def test_units_are_those_of_grafana(board: dict[str, Any]) -> None:
    known = {value for value in vars(units).values() if isinstance(value, str)}
    assert "percentunit" in known
    for panel in _panels(board):
        config = panel["fieldConfig"]
        set_apart = [p for each in config.get("overrides", ()) for p in each["properties"]]
        asked = [config["defaults"]["unit"], *(p["value"] for p in set_apart if p["id"] == "unit")]
        assert set(asked) <= known, panel["title"]


def test_everything_asks_the_prometheus_that_is_chosen(board: dict[str, Any]) -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    variables = [each for each in board["templating"]["list"] if each["type"] == "query"]
    for asking in (*_panels(board), *variables, *board["annotations"]["list"]):
        assert asking["datasource"] == chosen, asking
    for panel in _panels(board):
        names = [target["refId"] for target in panel["targets"]]
        assert names
        assert len(names) == len(set(names)), panel["title"]
        assert all(target["expr"].strip() for target in panel["targets"]), panel["title"]
        assert all(target.get("datasource", chosen) == chosen for target in panel["targets"])


def test_what_is_set_for_a_column_is_set_for_one_that_is_there(board: dict[str, Any]) -> None:
    for panel in (panel for panel in _panels(board) if panel["type"] == "table"):
        (organized,) = (t["options"] for t in panel["transformations"] if t["id"] == "organize")
        columns = set(organized["renameByName"].values())
        assert set(organized["indexByName"]) == set(organized["renameByName"])
        matched = [each["matcher"] for each in panel["fieldConfig"]["overrides"]]
        assert {each["options"] for each in matched if each["id"] == "byName"} <= columns
        assert {each["displayName"] for each in panel["options"]["sortBy"]} <= columns


def test_bounds_of_colors_rise_from_what_lies_below_all(board: dict[str, Any]) -> None:
    for panel in _panels(board):
        steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps")
        if steps:
            values = [step["value"] for step in steps]
            assert values[0] is None, panel["title"]
            assert values[1:] == sorted(values[1:]), panel["title"]


def test_panels_stand_beside_each_other_without_holes(board: dict[str, Any]) -> None:
    taken = [
        (x, y)
        for panel in board["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))
    height = max(y for _, y in taken) + 1
    assert set(taken) == {(x, y) for x in range(24) for y in range(height)}


def test_panels_have_ids_that_links_can_name(board: dict[str, Any]) -> None:
    ids = [panel["id"] for panel in board["panels"]]
    assert all(ids)
    assert len(ids) == len(set(ids))


def test_a_verdict_comes_before_every_course(board: dict[str, Any]) -> None:
    kinds = [panel["type"] for panel in _panels(board)]
    assert kinds[:4] == ["stat"] * 4


def test_a_panel_says_what_it_shows_and_in_which_unit(board: dict[str, Any]) -> None:
    for panel in _panels(board):
        assert re.match(r".{15}.*[.]$", panel["description"]), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}", panel["title"]


def test_courses_begin_at_zero_and_have_a_legend_with_figures(board: dict[str, Any]) -> None:
    courses = [panel for panel in _panels(board) if panel["type"] == "timeseries"]
    for panel in courses:
        assert panel["fieldConfig"]["defaults"]["min"] == 0, panel["title"]
        assert panel["options"]["legend"]["displayMode"] == "table", panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


def test_no_color_means_what_no_word_says(board: dict[str, Any]) -> None:
    for panel in _panels(board):
        defaults = panel["fieldConfig"]["defaults"]
        for mapping in defaults.get("mappings", ()):
            for value in mapping["options"].values():
                assert re.match(r"[✓✗?] \w", value["text"]), panel["title"]
        bounds = defaults.get("thresholds", {}).get("steps", [])[1:]
        counts_or_says = defaults.get("mappings") or " from " in panel["description"]
        assert not bounds or counts_or_says, panel["title"]


def test_variables_that_are_asked_for_are_there(board: dict[str, Any]) -> None:
    names = {variable["name"] for variable in board["templating"]["list"]}
    assert names >= {"datasource", "instance"}
    assert set(_VARIABLE.findall(json.dumps(board["panels"]))) - {"1"} <= names | BUILT_IN


def test_what_grows_is_shown_over_the_interval_that_grafana_chooses(board: dict[str, Any]) -> None:
    text = json.dumps(board["panels"])
    assert re.findall(r"\brate\([^)]*?\[(?!\$__rate_interval\])", text) == []


def test_boards_lead_to_each_other_and_mark_runs(board: dict[str, Any]) -> None:
    (link,) = board["links"]
    assert set(link["tags"]) <= set(board["tags"])
    assert (link["includeVars"], link["keepTime"]) == (True, True)
    assert {mark["name"] for mark in board["annotations"]["list"]} == {"Runs", "Alerts"}


def test_cells_lead_to_a_variable_of_a_board_that_is_there() -> None:
    boards = {b["uid"]: b for b in (json.loads(path.read_text("utf-8")) for path in PATHS)}
    text = "".join(path.read_text("utf-8") for path in PATHS)
    leading = set(re.findall(r"/d/([\w-]+)\?var-(\w+)=", text))
    assert len(leading) >= 2
    for uid, variable in leading:
        assert variable in {v["name"] for v in boards[uid]["templating"]["list"]}


def test_uids_are_unique_and_short_enough_for_grafana() -> None:
    uids = [json.loads(path.read_text(encoding="utf-8"))["uid"] for path in PATHS]
    assert len(uids) == len(set(uids))
    assert all(len(uid) <= 40 for uid in uids)
