"""Stores a run: its document, and the rows that the schema derives from it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hdrh.histogram import HdrHistogram

from harness import run as document
from harness.db import Target, connect
from harness.histogram import recorded
from harness.history.database import as_operator
from harness.run import Run

Rules = Sequence[Mapping[str, str]]
"""Per rule its code, title, severity and why."""


def store(target: Target, run: Run, rules: Rules) -> None:
    """Stores the run in a history; does nothing where it is there."""
    store_text(target, document.to_json(run), histograms(run), rules)


def store_text(target: Target, text: str, buckets: Mapping[str, Any], rules: Rules) -> None:
    """The same for a document as text."""
    with connect(target.app) as connection:
        as_operator(connection)
        connection.execute(
            "SELECT observability.store_run(%s::jsonb, %s::jsonb, %s::jsonb)",
            [text, json.dumps(buckets), json.dumps(list(rules))],
        )


def histograms(run: Run) -> dict[str, list[dict[str, float]]]:
    """Per critical query the buckets of its histogram: so many answers took up to le_ms."""
    queries = run.load.queries if run.load else ()
    return {query.name: list(_buckets(query.histogram)) for query in queries if query.histogram}


def _buckets(encoded: str) -> Iterator[dict[str, float]]:
    for value, count in recorded(HdrHistogram.decode(encoded)):
        yield {"le_ms": value / 1000, "count": count}
