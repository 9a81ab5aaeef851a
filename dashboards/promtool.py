"""Unit tests for promtool, written from the examples that alerts and recordings carry.

Examples that have no metric in common share a test: promtool makes a database for each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dashboards.promql import SERVICE
from dashboards.rule import Alert, Recording, Series

_AT = "1h"
_METRIC = re.compile(r"\b(?:(?:harness|pg|citus)[\w:]+|up)\b")
_Case = Mapping[str, object]


def alerts(given: Iterable[Alert]) -> Mapping[str, object]:
    """Each alert fires, as it says, for the one example and not for the other."""
    tests = _Tests("alert_rule_test")
    for alert in given:
        tests.add(alert.expr, alert.fires.series, _case(alert, [_expected(alert)]))
        tests.add(alert.expr, alert.quiet, _case(alert, []))
    return tests.file(["../rules/recordings.yml", "../rules/alerts.yml"])


def recordings(given: Iterable[Recording]) -> Mapping[str, object]:
    """Each recorded series has the values that its example says."""
    tests = _Tests("promql_expr_test")
    for recording in given:
        tests.add(recording.expr, recording.series, _samples(recording))
    return tests.file(["../rules/recordings.yml"])


@dataclass(slots=True)
class _Test:
    metrics: set[str] = field(default_factory=set)
    series: dict[str, str] = field(default_factory=dict)
    cases: list[_Case] = field(default_factory=list)


@dataclass(slots=True)
class _Tests:
    kind: str
    tests: list[_Test] = field(default_factory=list)

    def add(self, expr: str, series: Series, case: _Case) -> None:
        """Puts a case into the first test that nothing of it is in."""
        metrics = {*_METRIC.findall(expr), *(name.partition("{")[0] for name in series)}
        free = (test for test in self.tests if test.metrics.isdisjoint(metrics))
        test = next(free, None) or self._new()
        test.metrics |= metrics
        test.series |= series
        test.cases.append(case)

    def file(self, rules: list[str]) -> Mapping[str, object]:
        tests = [
            {
                "interval": "1m",
                "input_series": [{"series": s, "values": v} for s, v in test.series.items()],
                self.kind: test.cases,
            }
            for test in self.tests
        ]
        return {"rule_files": rules, "evaluation_interval": "5m", "tests": tests}

    def _new(self) -> _Test:
        self.tests.append(_Test())
        return self.tests[-1]


def _case(alert: Alert, expected: list[_Case]) -> _Case:
    return {"eval_time": _AT, "alertname": alert.name, "exp_alerts": expected}


def _expected(alert: Alert) -> _Case:
    return {
        "exp_labels": {"severity": alert.severity, "service": SERVICE, **alert.fires.labels},
        "exp_annotations": {**alert.annotations, "summary": alert.fires.summary},
    }


def _samples(recording: Recording) -> _Case:
    expected = [
        {"labels": f"{recording.name}{labels}".removesuffix("{}"), "value": value}
        for labels, value in recording.samples.items()
    ]
    return {"expr": recording.name, "eval_time": _AT, "exp_samples": expected}
