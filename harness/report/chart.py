"""A latency distribution as a small SVG: the share of answers over milliseconds, on a
logarithmic axis, with the budget as a line. Nothing in it depends on color alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise

from markupsafe import Markup, escape

WIDTH, HEIGHT = 220, 64
_LEFT, _RIGHT, _TOP, _BOTTOM = 4, 216, 6, 50
_LOW, _HIGH = 0.1, 1000.0
"""Milliseconds at the ends of the axis; what lies beyond is drawn at the end."""


def ecdf(
    name: str, steps: Sequence[tuple[float, int]], budget_ms: float, quantile: float
) -> Markup:
    """The chart of (milliseconds, count) steps in rising order; `axis` stands once in its page."""
    title = escape(f"Distribution of {name}")
    return Markup(  # noqa: S704 - numbers and one escaped title
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}"><use href="#axis"/>'
        f'<path class="q" d="M{_LEFT} {_y(quantile)}H{_RIGHT}"/>'
        f'<path class="b" d="M{_x(budget_ms)} {_TOP}V{_BOTTOM}"/>'
        f'<path d="{_staircase(steps)}"/></svg>'
    )


def axis() -> Markup:
    """The axis that all charts of a page share."""
    ticks = ((0.1, "0.1"), (1, "1"), (10, "10"), (100, "100 ms"), (1000, "1 s"))
    labels = "".join(
        f'<text x="{_x(tick)}" y="62" text-anchor="{_anchor(tick)}">{label}</text>'
        for tick, label in ticks
    )
    return Markup(  # noqa: S704 - numbers
        f'<svg class="shared" aria-hidden="true"><g id="axis"><path class="axis"'
        f' d="M{_LEFT} {_BOTTOM}H{_RIGHT}"/>{labels}</g></svg>'
    )


def _staircase(steps: Sequence[tuple[float, int]]) -> str:
    """Right and up in whole pixels, once for each column of pixels that it rises in."""
    total = sum(count for _, count in steps) or 1
    reached = accumulate(count for _, count in steps)
    heights = {
        _x(milliseconds): _y(seen / total)
        for (milliseconds, _), seen in zip(steps, reached, strict=True)
    }
    floor = [(_LEFT, _y(0)), *heights.items()]
    corners = [corner for below, corner in pairwise(floor) if corner[1] != below[1]]
    steps_to = pairwise([floor[0], *corners])
    rises = [f"h{x - left}v{y - below}" for (left, below), (x, y) in steps_to]
    return f"M{_LEFT} {_y(0)}{''.join(rises)}H{_RIGHT}"


def _anchor(tick: float) -> str:
    return {_LOW: "start", _HIGH: "end"}.get(tick, "middle")


def _x(milliseconds: float) -> int:
    clamped = min(max(milliseconds, _LOW), _HIGH)
    share = math.log10(clamped / _LOW) / math.log10(_HIGH / _LOW)
    return round(_LEFT + share * (_RIGHT - _LEFT))


def _y(share: float) -> int:
    return round(_BOTTOM - share * (_BOTTOM - _TOP))
