"""What boards and rules ask is answered by a Prometheus that scrapes `harness metrics`.

An expression over a metric that nobody exposes is no error to Prometheus or Grafana: the panel
stays blank and the alert never fires. So a small server and a run that failed are scraped for some
seconds, and everything is asked once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import typer

from dashboards.ask import ask
from dashboards.asking import Asked, Prometheus, expressions
from harness.db import Target
from harness.finding import Finding, Severity
from harness.load_result import LoadResult
from harness.metrics.collector import read_all
from harness.run import (
    DeployResult,
    Environment,
    FillResult,
    ProbeResult,
    Run,
    Stage,
    TableFill,
    to_json,
)
from tests.integration.scraping import installed, scraped
from tests.unit.conftest import query_result

QUERY = "hs.available_slots"
"""A critical query that the rules know."""
_METRIC = re.compile(r"(?<![\w:])(?:harness|pg|citus)_\w+")


@pytest.fixture
def prometheus(database: Target, tmp_path: Path) -> Iterator[Prometheus]:
    """One that scraped a server with some rows, and a run that failed."""
    if not installed():
        pytest.skip("prometheus is not installed")
    document = tmp_path / "run.json"
    document.write_text(to_json(_run()), encoding="utf-8")
    with psycopg.connect(database.admin) as connection, _busy_tenant(database):
        _work(connection)
        with scraped(database.admin, document, tmp_path) as made:
            yield made


def test_every_panel_and_rule_is_answered(
    prometheus: Prometheus, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prometheus.fault("harness_no_such_metric") == "empty"
    assert prometheus.fault("vector(0) / 0") == "empty"
    assert "parse error" in prometheus.fault("sum(")
    asked = expressions(QUERY)
    assert len(asked) > 150
    assert _strangers(prometheus, asked) == {}
    assert "\n".join(filter(None, (_told(prometheus, each) for each in asked))) == ""
    assert "\n".join(filter(None, (_unnamed(prometheus, each) for each in asked))) == ""
    assert _unwell(prometheus) == []
    firing = prometheus.ask("query", query='ALERTS{alertstate="firing"}')["result"]
    names = {sample["metric"]["alertname"] for sample in firing}
    assert names >= {"TenantIsolationLeak", "RunFailed", "LatencyBudgetMissed"}
    _asked_from_outside(prometheus.url, capsys)


def _asked_from_outside(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        ask(url, QUERY)
    *quiet, last = capsys.readouterr().out.splitlines()
    assert ended.value.exit_code == 0
    assert "– citus: Nodes: This server has no Citus." in quiet
    assert last.endswith(f" {len(quiet)} without an answer, 0 failed")


def _strangers(prometheus: Prometheus, asked: Iterable[Asked]) -> dict[str, str]:
    """Metrics that nobody exposes, even where a panel may be empty, and who asks for them."""
    files = (collector for collector in read_all())
    declared = {f"{each.prefix}_{column}" for each in files for column in each.metrics}
    known = {*declared, *prometheus.ask("label/__name__/values")}
    return {name: a.where for a in asked for name in _METRIC.findall(a.expr) if name not in known}


def _told(prometheus: Prometheus, asked: Asked) -> str:
    fault = prometheus.fault(asked.expr)
    fine = not fault or (fault == "empty" and asked.quiet)
    return "" if fine else f"{asked.where}: {fault}: {asked.expr}"


def _unnamed(prometheus: Prometheus, asked: Asked) -> str:
    """A legend that Grafana leaves blank, for a series has none of its labels; or a label that
    nothing has."""
    found = prometheus.ask("query", query=asked.expr)["result"] if asked.labels else []
    blank = any(asked.labels.isdisjoint(sample["metric"]) for sample in found)
    unknown = asked.labels.difference(prometheus.ask("labels"), *(s["metric"] for s in found))
    fault = "a series has none of" if blank else "nothing has"
    labels = sorted(asked.labels if blank else unknown)
    return f"{asked.where}: {fault} {labels}" if found and labels else ""


def _unwell(prometheus: Prometheus) -> list[str]:
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert len(rules) > 300
    return [f"{rule['name']}: {rule['lastError']}" for rule in rules if rule["health"] != "ok"]


@contextmanager
def _busy_tenant(database: Target) -> Iterator[None]:
    """A session that works for a tenant all the while."""
    name = f"bh:{uuid4()}"
    connection = psycopg.connect(database.admin, autocommit=True, application_name=name)
    connection.pgconn.send_query(b"SELECT pg_sleep(60)")
    try:
        yield
    finally:
        connection.cancel()
        connection.close()


def _work(connection: psycopg.Connection) -> None:
    """A table with rows, a critical query, and a transaction that stays open."""
    for statement in (
        "CREATE EXTENSION pg_stat_statements",
        "CREATE SCHEMA hs",
        "CREATE TABLE hs.slot AS SELECT md5((n % 7 / 4)::text)::uuid AS business_id, n"
        " FROM generate_series(1, 1000) AS n",
        "CREATE INDEX ON hs.slot (business_id)",
        "UPDATE hs.slot SET n = n + 1 WHERE n < 100",
        "ANALYZE hs.slot",
        "SELECT pg_stat_force_next_flush()",
    ):
        connection.execute(statement)
    connection.commit()
    connection.execute(f"/* {QUERY} */ SELECT count(*) FROM hs.slot")


def _run() -> Run:
    now = datetime.now(UTC)
    missed = query_result(
        QUERY,
        5,
        verdict="miss",
        reason="p95 0.9 ms, the budget is 0.5 ms",
        errors=1,
        timeouts=2,
        retries=3,
        foreign_rows=1,
    )
    return Run(
        id="0" * 32,
        command="run",
        started_at=now - timedelta(minutes=5),
        finished_at=now - timedelta(minutes=1),
        environment=Environment("1.0", "3.11", "Linux", 2, 2**34, "17.10", "harness", "abc"),
        stages=(
            Stage("deploy", "held", 1.5),
            Stage("check isolation", "held", 2.0),
            Stage("load", "failed", 20.0),
        ),
        deploy=DeployResult(True, 3, 120, 1.5, {"hs": {"tables": 3, "indexes": 5}}),
        findings=(
            Finding("RLS001", Severity.ERROR, "hs.slot", "row security is not enabled", "Why."),
        ),
        fill=FillResult(1, 0.02, 3, now, 4.0, (TableFill("hs.slot", 900, 0.5),)),
        probes=(
            ProbeResult("hs.slot", "select", "leak", "read 7 rows"),
            ProbeResult("hs.slot", "insert", "held", "refused"),
            ProbeResult("hs.empty", "select", "vacuous", "no rows"),
            ProbeResult("hs.kept", "select", "held", "read 0 rows"),
        ),
        load=LoadResult(8, 20.0, 3.0, 410.0, (missed, query_result("hs.other", 40))),
    )
