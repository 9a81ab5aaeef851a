"""Panels of the boards. What one shows is said in words and figures, never by color alone.

Every panel asks Prometheus through the variable `datasource`. One that may answer nothing says why
in `empty`: Grafana shows that in place of the data, and the test lets only such a panel be empty.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery as AnyQuery
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    DataSourceRef,
    LegendDisplayMode,
    LegendPlacement,
    ReduceDataOptions,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
    VizLegendOptions,
    VizOrientation,
    VizTooltipOptions,
)
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Panel,
    Threshold,
    ThresholdsConfig,
    ThresholdsMode,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PROMETHEUS = DataSourceRef("prometheus", "${datasource}")
GREEN, AMBER, RED, NEUTRAL = "green", "orange", "red", "text"
HELD = {1: ("✓ held", GREEN), 0: ("✗ failed", RED)}
NONE = {0: ("✓ none", GREEN)}

Words = Mapping[int, tuple[str, str]]
"""What a value is called, and its color."""
Steps = Sequence[tuple[float, str]]
"""Bounds from which a value has a color, ascending."""


class _Framed(Protocol):
    """What the builders of all kinds of panels have in common."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def no_value(self, no_value: str) -> Self: ...
    def height(self, h: int) -> Self: ...
    def span(self, w: int) -> Self: ...
    def datasource(self, datasource: DataSourceRef) -> Self: ...
    def targets(self, targets: list[Builder[AnyQuery]]) -> Self: ...


P = TypeVar("P", bound=_Framed)


def verdict(
    title: str, description: str, expr: str, words: Words = HELD, width: int = 4, empty: str = ""
) -> Builder[Panel]:
    """One value as a word on a colored ground: what to look at first."""
    panel = (
        _stat([(0, RED)])
        .mappings([_mapping(words)])
        .color_mode(BigValueColorMode.BACKGROUND)
        .graph_mode(BigValueGraphMode.NONE)
    )
    return _framed(panel, title, description, [_instant(expr)], "none", width, 4, empty)


def count(
    title: str, description: str, expr: str, width: int = 4, bad: str = RED, empty: str = ""
) -> Builder[Panel]:
    """How many there are of what there should be none of."""
    panel = (
        _stat([(0, GREEN), (1, bad)])
        .mappings([_mapping(NONE)])
        .color_mode(BigValueColorMode.BACKGROUND)
        .graph_mode(BigValueGraphMode.NONE)
    )
    return _framed(panel, title, description, [_instant(expr)], "short", width, 4, empty)


def figure(
    title: str,
    description: str,
    expr: str,
    unit: str,
    steps: Steps = ((0, NEUTRAL),),
    width: int = 4,
    empty: str = "",
) -> Builder[Panel]:
    """One value with its course behind it; the bounds of its colors are told in the description."""
    panel = _stat(steps).color_mode(BigValueColorMode.VALUE).graph_mode(BigValueGraphMode.AREA)
    said = f"{description}{_bounds(steps, unit)}"
    return _framed(panel, title, said, [_range(expr, title)], unit, width, 4, empty)


def series(
    title: str,
    description: str,
    queries: Mapping[str, str],
    unit: str,
    width: int = 12,
    height: int = 8,
    empty: str = "",
) -> Builder[Panel]:
    """Courses over time, from zero up: legends with their expressions.

    What a legend calls a budget or a limit is drawn dashed.
    """
    panel = _courses(unit).override_by_regexp("/budget|limit/", _DASHED)
    asked = [_range(expr, legend) for legend, expr in queries.items()]
    return _framed(panel, title, description, asked, unit, width, height, empty)


def stacked(
    title: str,
    description: str,
    queries: Mapping[str, str],
    unit: str,
    width: int = 12,
    height: int = 8,
    empty: str = "",
) -> Builder[Panel]:
    """Parts of a whole over time, one upon the other."""
    whole = common.StackingConfig().mode(StackingMode.NORMAL)
    panel = _courses(unit).fill_opacity(30).stacking(whole)
    asked = [_range(expr, legend) for legend, expr in queries.items()]
    return _framed(panel, title, description, asked, unit, width, height, empty)


def ranking(
    title: str,
    description: str,
    query: tuple[str, str],
    unit: str,
    steps: Steps = ((0, "blue"),),
    width: int = 12,
    empty: str = "",
) -> Builder[Panel]:
    """The largest now, as bars: (legend, expression)."""
    legend, expr = query
    panel = (
        bargauge.Panel()
        .min(0)
        .display_mode(BarGaugeDisplayMode.BASIC)
        .orientation(VizOrientation.HORIZONTAL)
        .reduce_options(_latest())
        .thresholds(_thresholds(steps))
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
    )
    said = f"{description}{_bounds(steps, unit)}"
    asked = [_instant(f"sort_desc({expr})", legend)]
    return _framed(panel, title, said, asked, unit, width, 8, empty)


def listing(
    title: str,
    description: str,
    columns: Mapping[str, tuple[str, str]],
    labels: Mapping[str, str],
    sort: str,
    width: int = 24,
    height: int = 10,
    empty: str = "",
    links: Mapping[str, str] = MappingProxyType({}),
) -> Builder[Panel]:
    """A table of rows that share labels: each column is an expression with its unit.

    `labels` gives the headers of the labels that identify a row, in order; `sort` the column whose
    largest values come first; `links` where cells of a column lead to.
    """
    panel = (
        table.Panel()
        .sort_by([common.TableSortByFieldState().display_name(sort).desc(True)])
        .filterable(True)
        .with_transformation(DataTransformerConfig("merge", options={}))
        .with_transformation(DataTransformerConfig("organize", options=_organized(columns, labels)))
    )
    for header, (_, unit) in columns.items():
        panel = panel.override_by_name(header, [DynamicConfigValue("unit", unit)])
    for header, url in links.items():
        leading = [{"title": "Look at ${__value.text}", "url": url}]
        panel = panel.override_by_name(header, [DynamicConfigValue("links", leading)])
    asked = [_rows(expr) for expr, _ in columns.values()]
    return _framed(panel, title, description, asked, "string", width, height, empty)


def states(
    title: str,
    description: str,
    query: tuple[str, str],
    words: Words = HELD,
    width: int = 24,
    empty: str = "",
) -> Builder[Panel]:
    """A verdict of each over time, with its word in the bar: (legend, expression)."""
    legend, expr = query
    panel = (
        statetimeline.Panel()
        .mappings([_mapping(words)])
        .thresholds(_thresholds([(0, NEUTRAL)]))
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .show_value(VisibilityMode.AUTO)
        .per_page(20)
        .legend(common.VizLegendOptions().show_legend(False))
        .tooltip(_tooltip())
    )
    return _framed(panel, title, description, [_range(expr, legend)], "none", width, 8, empty)


_DASHED = [
    DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 8]}),
    DynamicConfigValue("custom.lineWidth", 2),
]


def _framed(
    panel: P,
    title: str,
    description: str,
    queries: Sequence[Dataquery],
    unit: str,
    width: int,
    height: int,
    empty: str,
) -> P:
    framed = panel.title(title).description(description).unit(unit).height(height).span(width)
    framed = framed.datasource(PROMETHEUS).targets(_targets(queries))
    return framed.no_value(empty) if empty else framed


def _stat(steps: Steps) -> stat.Panel:
    return (
        stat.Panel()
        .reduce_options(_latest())
        .text_mode(BigValueTextMode.VALUE)
        .thresholds(_thresholds(steps))
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
    )


def _latest() -> Builder[ReduceDataOptions]:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False)


def _courses(unit: str) -> timeseries.Panel:
    """From zero up; shares are seen against the whole."""
    panel = timeseries.Panel().axis_soft_max(1) if unit == "percentunit" else timeseries.Panel()
    return (
        panel.min(0)
        .line_width(1)
        .show_points(VisibilityMode.AUTO)
        .legend(_legend())
        .tooltip(_tooltip())
    )


def _legend() -> Builder[VizLegendOptions]:
    """As a table, so that a series is told by its name and its figures."""
    return (
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.TABLE)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["lastNotNull", "max"])
        .sort_by("Last *")
        .sort_desc(True)
    )


def _tooltip() -> Builder[VizTooltipOptions]:
    return common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)


def _thresholds(steps: Steps) -> Builder[ThresholdsConfig]:
    """Absolute bounds; what lies below the first has its color too."""
    (_, first), *rest = steps
    bounds = [Threshold(None, first), *(Threshold(value, color) for value, color in rest)]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(bounds)


def _bounds(steps: Steps, unit: str) -> str:
    """The bounds in words, for who cannot tell the colors."""
    names = {AMBER: "Amber", RED: "Red", GREEN: "Green"}
    told = [f"{names[color]} from {_told(value, unit)}" for value, color in steps[1:]]
    return f" {', '.join(told)}." if told else ""


def _told(value: float, unit: str) -> str:
    return f"{value:.0%}" if unit == "percentunit" else f"{value:g}{' s' * (unit == 's')}"


def _mapping(words: Words) -> ValueMapping:
    return ValueMap(
        {
            str(value): ValueMappingResult(text=text, color=color, index=position)
            for position, (value, (text, color)) in enumerate(words.items())
        }
    )


def _organized(
    columns: Mapping[str, tuple[str, str]], labels: Mapping[str, str]
) -> dict[str, object]:
    """Settings of the transformation that orders and names the columns and leaves the time out."""
    values = dict(zip(_values(len(columns)), columns, strict=True))
    names = {**labels, **values}
    return {
        "excludeByName": {"Time": True},
        "indexByName": {name: position for position, name in enumerate(names)},
        "renameByName": names,
    }


def _values(count: int) -> list[str]:
    """What Grafana calls the values of so many queries of a table."""
    names = string.ascii_uppercase[:count]
    return ["Value"] if count == 1 else [f"Value #{name}" for name in names]


def _targets(queries: Sequence[Dataquery]) -> list[Builder[AnyQuery]]:
    return [
        query.ref_id(name) for name, query in zip(string.ascii_uppercase, queries, strict=False)
    ]


def _range(expr: str, legend: str) -> Dataquery:
    return Dataquery().expr(expr).legend_format(legend).range()


def _instant(expr: str, legend: str = "") -> Dataquery:
    return Dataquery().expr(expr).legend_format(legend).instant()


def _rows(expr: str) -> Dataquery:
    return Dataquery().expr(expr).instant().format(PromQueryFormat.TABLE)
