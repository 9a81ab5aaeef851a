"""What boards and rules ask of a Prometheus, and whether it is answered.

A metric that nobody exposes is no error to Prometheus or Grafana: the panel stays blank and the
alert never fires. What may have no answer says why, in the words that Grafana shows instead.
"""

from __future__ import annotations

import json
import math
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboards.documents import all_alerts
from dashboards.recordings import RECORDINGS

BOARDS = Path(__file__).parent / "grafana"
_LEGEND = re.compile(r"\{\{(\w+)\}\}")
_VALUES = re.compile(r"(?:label_values|query_result)\((?P<expr>.+?)(?:, \w+)?\)")
_EVERYTHING = {"${schema:regex}": ".*", "$schema": ".*", "$database": ".*", "$instance": ".*"}


@dataclass(frozen=True, slots=True)
class Asked:
    """An expression, and where it is asked."""

    where: str
    expr: str
    quiet: str = ""
    """Why it may have no answer; empty where it has one on every server."""
    labels: frozenset[str] = frozenset()
    """What its legend tells a series by."""


@dataclass(frozen=True, slots=True)
class Prometheus:
    """One that runs."""

    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        """`data` of an answer of the API; RuntimeError with the API's words where it has none."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code == 503:
                raise  # not ready
            raise RuntimeError(json.load(error)["error"]) from None

    def fault(self, expr: str) -> str:
        """Why an expression answers nothing: an error, or `empty`; nothing where it answers."""
        try:
            result = self.ask("query", query=expr)["result"]
        except RuntimeError as error:
            return str(error)
        values = [float(sample["value"][1]) for sample in result]
        return "empty" if all(map(math.isnan, values)) else ""


def expressions(query: str) -> tuple[Asked, ...]:
    """All that boards, their variables and rules ask, where `query` is chosen of the queries."""
    return (*_panels(query), *_variables(query), *_rules())


def _panels(query: str) -> Iterator[Asked]:
    for name, board in _boards():
        for panel in board["panels"]:
            quiet = panel.get("fieldConfig", {}).get("defaults", {}).get("noValue", "")
            for target in panel.get("targets", ()):
                labels = frozenset(_LEGEND.findall(target.get("legendFormat", "")))
                expr = _filled(target["expr"], query)
                yield Asked(f"{name}: {panel['title']}", expr, quiet, labels)
        for mark in board["annotations"]["list"]:
            expr = _filled(mark["target"]["expr"], query)
            quiet = "✓ No alert fires." if mark["name"] == "Alerts" else ""
            yield Asked(f"{name}: marks of {mark['name']}", expr, quiet)


def _variables(query: str) -> Iterator[Asked]:
    for name, board in _boards():
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                definition = _filled(variable["definition"], query)
                found = _VALUES.fullmatch(definition)
                expr = found["expr"] if found else definition
                yield Asked(f"{name}: variable {variable['name']}", expr)


def _rules() -> Iterator[Asked]:
    for alert in all_alerts():
        yield Asked(f"alert {alert.name}", alert.value, alert.absent)
    for recording in RECORDINGS:
        yield Asked(f"recording {recording.name}", recording.expr, recording.absent)


def _boards() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path in sorted(BOARDS.glob("*.json")):
        yield path.stem, json.loads(path.read_text(encoding="utf-8"))


def _filled(expr: str, query: str) -> str:
    for name, value in {**_EVERYTHING, "$query": query, "$__rate_interval": "1m"}.items():
        expr = expr.replace(name, value)
    return expr
