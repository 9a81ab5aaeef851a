"""A latency distribution as a small SVG: the share of answers over milliseconds, on a
logarithmic axis, with the budget as a line. Nothing in it depends on color alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

WIDTH, HEIGHT = 220, 64
_LEFT, _RIGHT, _TOP, _BOTTOM = 4, 216, 6, 50
_LOW, _HIGH = 0.1, 1000.0
"""Milliseconds at the ends of the axis; what lies beyond is drawn at the end."""


def ecdf(
    name: str, steps: Sequence[tuple[float, int]], budget_ms: float, quantile: float
) -> Markup:
    """The chart of (milliseconds, count) steps in rising order."""
    total = sum(count for _, count in steps) or 1
    points, seen = [f"{_x(_LOW):.1f},{_y(0):.1f}"], 0
    for milliseconds, count in steps:
        points.append(f"{_x(milliseconds):.1f},{_y(seen / total):.1f}")
        seen += count
        points.append(f"{_x(milliseconds):.1f},{_y(seen / total):.1f}")
    points.append(f"{_x(_HIGH):.1f},{_y(seen / total):.1f}")
    title = escape(f"{name}: share of answers within a time; the budget is {budget_ms:g} ms")
    return Markup(  # noqa: S704 - numbers and one escaped title
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">'
        f"{_axis()}"
        f'<line class="budget" x1="{_x(budget_ms):.1f}" x2="{_x(budget_ms):.1f}"'
        f' y1="{_TOP}" y2="{_BOTTOM}"/>'
        f'<line class="quantile" x1="{_LEFT}" x2="{_RIGHT}"'
        f' y1="{_y(quantile):.1f}" y2="{_y(quantile):.1f}"/>'
        f'<polyline points="{" ".join(_thinned(points))}"/></svg>'
    )


def _axis() -> str:
    ticks = (0.1, 1, 10, 100, 1000)
    labels = "".join(
        f'<text x="{_x(tick):.1f}" y="62" text-anchor="{_anchor(tick)}">{tick:g}</text>'
        for tick in ticks
    )
    return f'<line class="axis" x1="{_LEFT}" x2="{_RIGHT}" y1="{_BOTTOM}" y2="{_BOTTOM}"/>{labels}'


def _anchor(tick: float) -> str:
    return {_LOW: "start", _HIGH: "end"}.get(tick, "middle")


def _x(milliseconds: float) -> float:
    clamped = min(max(milliseconds, _LOW), _HIGH)
    share = math.log10(clamped / _LOW) / math.log10(_HIGH / _LOW)
    return _LEFT + share * (_RIGHT - _LEFT)


def _y(share: float) -> float:
    return _BOTTOM - share * (_BOTTOM - _TOP)


def _thinned(points: Sequence[str], most: int = 120) -> Sequence[str]:
    """At most so many points, ends included: a pixel needs no more."""
    if len(points) <= most:
        return points
    step = len(points) / most
    return [*(points[int(i * step)] for i in range(most)), points[-1]]
