"""The files that are written: boards, rules, their tests and the page on alerts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from itertools import chain
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder

import dashboards.alerts
import dashboards.boards
from dashboards import alerts_doc, promises, promtool
from dashboards.promql import SERVICE
from dashboards.recordings import RECORDINGS
from dashboards.rule import Alert, Recording
from loadtests.query import Query

RULES = "dashboards/prometheus/rules"
TESTS = "dashboards/prometheus/tests"
_HEAD = "# Written by `python -m dashboards`; change what it is made from.\n"


def documents(queries: Iterable[Query]) -> Mapping[str, str]:
    """Texts by path from the repository's root; rules on budgets are of these queries."""
    return {
        **{f"dashboards/grafana/{name}.json": text for name, text in _boards()},
        f"{RULES}/promises.yml": _groups({"harness-promises": promises.rules(queries)}),
        f"{RULES}/recordings.yml": _groups({"harness-recordings": _recordings(RECORDINGS)}),
        f"{RULES}/alerts.yml": _groups(
            {f"harness-{subject}": _alerts(alerts) for subject, alerts in alerts_by_subject()}
        ),
        f"{TESTS}/recordings.yml": _yaml(promtool.recordings(RECORDINGS)),
        f"{TESTS}/alerts.yml": _yaml(promtool.alerts(all_alerts())),
        "docs/alerts.md": alerts_doc.page(alerts_by_subject()),
    }


def alerts_by_subject() -> Sequence[tuple[str, Sequence[Alert]]]:
    """The alerts of each module, by its name."""
    return [(_name(module), module.ALERTS) for module in _modules(dashboards.alerts)]


def all_alerts() -> tuple[Alert, ...]:
    """Of all modules."""
    return tuple(chain.from_iterable(alerts for _, alerts in alerts_by_subject()))


def _boards() -> Iterator[tuple[str, str]]:
    for module in _modules(dashboards.boards):
        board = json.dumps(module.build(), cls=JSONEncoder, indent=1, sort_keys=True)
        yield _name(module), f"{board}\n"


def _modules(package: ModuleType) -> Iterator[Any]:
    names = sorted(found.name for found in iter_modules(package.__path__))
    return (import_module(f"{package.__name__}.{name}") for name in names)


def _name(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def _groups(groups: Mapping[str, Sequence[Mapping[str, object]]]) -> str:
    return _yaml({"groups": [{"name": name, "rules": list(r)} for name, r in groups.items()]})


def _yaml(content: Mapping[str, object]) -> str:
    return _HEAD + yaml.safe_dump(content, sort_keys=False, width=100, allow_unicode=True)


def _recordings(recordings: Iterable[Recording]) -> list[Mapping[str, object]]:
    return [{"record": each.name, "expr": each.expr} for each in recordings]


def _alerts(alerts: Iterable[Alert]) -> list[Mapping[str, object]]:
    return [
        {
            "alert": alert.name,
            "expr": alert.expr,
            "for": alert.lasting,
            "labels": {"severity": alert.severity, "service": SERVICE},
            "annotations": alert.annotations,
        }
        for alert in alerts
    ]
