"""A comparison of two runs as one HTML page, in the style of the report."""

from __future__ import annotations

from harness.report import change_text as words
from harness.report.change import RunChange
from harness.report.html import template

SHOWN = 200
"""So many lines of a kind are listed."""
SIGNS = {
    "worse": "✗ worse",
    "better": "✓ better",
    "same": "~ same",
    "new": "+ new",
    "gone": "– gone",
}
CLASSES = {"worse": "bad", "better": "good", "same": "soft", "new": "soft", "gone": "open"}


def render(change: RunChange) -> str:
    """The page."""
    moved = [query for query in change.queries if words.noteworthy(query)]
    return template("change.html").render(
        change=change,
        words=words,
        shown=SHOWN,
        signs=SIGNS,
        classes=CLASSES,
        moved=moved,
        same=[query for query in change.queries if not words.noteworthy(query)],
        parts=list(words.parts(change)),
    )
