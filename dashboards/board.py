"""The frame of a board: variables, links to the other boards, marks of runs and alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders.dashboard import (
    AnnotationQuery,
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
    Row,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Dashboard as DashboardModel
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    Panel,
    VariableModel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from dashboards.panels import PROMETHEUS
from dashboards.promql import FIRING, of

TAG = "harness"
ALL = VariableOption(selected=True, text="All", value="$__all")

Rows = Mapping[str, Sequence[Builder[Panel]]]
"""Panels by the title of their row, in the order in which they are looked at."""


def board(
    name: str,
    title: str,
    description: str,
    rows: Rows,
    variables: Sequence[Builder[VariableModel]] = (),
    since: str = "now-6h",
) -> DashboardModel:
    """A board of rows, with what all boards have; it opens with the time since `since`."""
    frame = _frame(name, title, description).time(since, "now")
    for variable in variables:
        frame = frame.with_variable(variable)
    for heading, panels in rows.items():
        frame = frame.with_row(Row(heading))
        for panel in panels:
            frame = frame.with_panel(panel)
    return _finished(frame.build())


def _frame(name: str, title: str, description: str) -> Dashboard:
    return (
        Dashboard(f"Harness / {title}")
        .uid(f"harness-{name}")
        .description(description)
        .tags([TAG])
        .readonly()
        .timezone("browser")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(_others())
        .annotation(_runs())
        .annotation(_alerts())
        .with_variable(_datasource())
        .with_variable(INSTANCE)
    )


def _finished(made: DashboardModel) -> DashboardModel:
    """With ids of the panels, by which links find them, and with links and marks in sight: the
    builders put both into a menu."""
    for number, panel in enumerate(made.panels or (), 1):
        panel.id_val = number
    for link in made.links or ():
        link.placement = None  # type: ignore[assignment]
    for mark in (made.annotations and made.annotations.list_val) or ():
        mark.placement = None  # type: ignore[assignment]
    return made


def link(name: str, variable: str) -> str:
    """The address of a board, for a cell whose value a variable of that board gets."""
    others = "${instance:queryparam}&${datasource:queryparam}&${__url_time_range}"
    return f"/d/harness-{name}?var-{variable}=${{__value.text}}&{others}"


def several(name: str, label: str, description: str, query: str) -> QueryVariable:
    """A variable of label values of which any number can be chosen, all of them to begin with."""
    return (
        _values(name, label, description, query)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(ALL)
    )


def one(name: str, label: str, description: str, query: str) -> QueryVariable:
    """A variable of label values of which one is chosen, the first to begin with."""
    return _values(name, label, description, query).multi(False).include_all(False)


def _values(name: str, label: str, description: str, query: str) -> QueryVariable:
    return (
        QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(PROMETHEUS)
        .query({"qryType": 1, "query": query, "refId": "variable"})
        .definition(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


INSTANCE = several(
    "instance",
    "Instance",
    "What Prometheus scrapes: `harness metrics` beside a server.",
    "label_values(harness_run_held, instance)",
)


def _datasource() -> DatasourceVariable:
    return (
        DatasourceVariable("datasource")
        .label("Prometheus")
        .description("The Prometheus that scrapes `harness metrics`.")
        .type("prometheus")
        .current(VariableOption(selected=True, text="default", value="default"))
    )


def _others() -> DashboardLink:
    return (
        DashboardLink("Harness boards")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .tooltip("The other boards, at the same time and instance.")
        .as_dropdown(False)
        .include_vars(True)
        .keep_time(True)
    )


def _runs() -> AnnotationQuery:
    finished, info = of("harness_run_finished_timestamp_seconds"), of("harness_run_info")
    expr = f"{finished} * 1000 * on (instance, job) group_left (command, commit) {info}"
    return (
        AnnotationQuery()
        .name("Runs")
        .datasource(PROMETHEUS)
        .enable(True)
        .icon_color("blue")
        .target(Dataquery().expr(expr).ref_id("Runs").range())
        .use_value_for_time(True)
        .title_format("harness {{command}} ended")
        .text_format("commit {{commit}}")
        .tag_keys("command")
    )


def _alerts() -> AnnotationQuery:
    return (
        AnnotationQuery()
        .name("Alerts")
        .datasource(PROMETHEUS)
        .enable(True)
        .icon_color("red")
        .target(Dataquery().expr(FIRING).ref_id("Alerts").range())
        .title_format("{{alertname}} fires")
        .text_format("severity {{severity}}")
        .tag_keys("alertname,severity")
    )
