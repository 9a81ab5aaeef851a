"""A latency distribution as a small SVG: the share of answers over milliseconds, on a
logarithmic axis, with the budget as a line. Nothing in it depends on color alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

from markupsafe import Markup

WIDTH, HEIGHT = 220, 64
_LEFT, _RIGHT, _TOP, _BOTTOM = 4, 216, 6, 50
_LOW, _HIGH = 0.1, 1000.0
"""Milliseconds at the ends of the axis; what lies beyond is drawn at the end."""
_FLAT = 3
"""So many pixels without an answer are drawn as a step, fewer as a slope."""
_TICKS = ((0.1, "0.1"), (1, "1"), (10, "10"), (100, "100 ms"), (1000, "1 s"))

Point = tuple[int, int]


def ecdf(steps: Sequence[tuple[float, int]], budget_ms: float) -> Markup:
    """The chart of (milliseconds, count) steps in rising order; `axis` stands once in its page."""
    return Markup(  # noqa: S704 - numbers
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Latency distribution">'
        f'<use href="#axis"/><path class="b" d="M{_x(budget_ms)} {_TOP}V{_BOTTOM}"/>'
        f'<path d="{_curve(steps)}"/></svg>'
    )


def axis() -> Markup:
    """The axis that all charts of a page share, with a line at 95 % of the answers."""
    labels = "".join(
        f'<text x="{_x(tick)}" y="62" text-anchor="{_anchor(tick)}">{label}</text>'
        for tick, label in _TICKS
    )
    return Markup(  # noqa: S704 - numbers
        f'<svg class="shared" aria-hidden="true"><g id="axis"><path class="axis"'
        f' d="M{_LEFT} {_BOTTOM}H{_RIGHT}"/><path class="q" d="M{_LEFT} {_y(0.95)}H{_RIGHT}"/>'
        f'<text x="{_LEFT}" y="{_y(0.95) + 10}">95 %</text>{labels}</g></svg>'
    )


def _curve(steps: Sequence[tuple[float, int]]) -> str:
    """Right and up in whole pixels, a point for each column of pixels that it rises in."""
    total = sum(count for _, count in steps) or 1
    reached = accumulate(count for _, count in steps)
    heights = {
        _x(milliseconds): _y(seen / total)
        for (milliseconds, _), seen in zip(steps, reached, strict=True)
    }
    points = [(_LEFT, _y(0)), *heights.items()]
    corners = [points[0], *(p for below, p in pairwise(points) if p[1] != below[1])]
    return f"M{_LEFT} {_y(0)}{''.join(_rises(corners))}H{_RIGHT}"


def _rises(corners: Sequence[Point]) -> Iterator[str]:
    """Path commands; a slope that follows another one says its numbers alone."""
    sloping = False
    for (left, below), (x, y) in pairwise(corners):
        right, up = x - left, y - below
        flat = right > _FLAT
        if flat:
            yield f"h{right}v{up}"
        else:
            yield f"{' ' if sloping else 'l'}{right}{up}"
        sloping = not flat


def _anchor(tick: float) -> str:
    return {_LOW: "start", _HIGH: "end"}.get(tick, "middle")


def _x(milliseconds: float) -> int:
    clamped = min(max(milliseconds, _LOW), _HIGH)
    share = math.log10(clamped / _LOW) / math.log10(_HIGH / _LOW)
    return round(_LEFT + share * (_RIGHT - _LEFT))


def _y(share: float) -> int:
    return round(_BOTTOM - share * (_BOTTOM - _TOP))
