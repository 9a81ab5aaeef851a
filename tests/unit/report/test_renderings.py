"""What a run is rendered as: HTML, JUnit, Prometheus, the terminal."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from io import StringIO
from xml.etree import ElementTree

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from harness.errors import UsageError
from harness.report import chart, embedded, html, isolation, junit_run, prometheus, terminal
from harness.run import ProbeResult, Run


def _samples(run: Run) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(prometheus.textfile(run)):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def told(page: str) -> str:
    """What a reader sees, in one line."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())


def test_the_page_asks_for_nothing_outside_itself(failed_run: Run) -> None:
    page = html.render(failed_run)
    assert not re.search(r"src\s*=|href=\"[^#]|url\(|@import", page)
    assert len(page) < 60_000


def test_the_page_says_what_did_not_hold_and_how_to_see_it_again(failed_run: Run) -> None:
    page = html.render(failed_run)
    assert "✗ Failed" in page
    text = told(page)
    assert "leak rest.tip, select read 7 rows" in text
    assert "RLS001: rest.check row security is not enabled (rest/10_check.sql:12)" in text
    for command in (
        "harness check isolation --table rest.tip",
        "harness check static --select RLS001",
        "harness load --only 'rest.<slow>'",
    ):
        assert f"See it again: {command}" in text


def test_the_page_says_which_truths_of_the_data_are_broken(failed_run: Run) -> None:
    page = html.render(failed_run)
    assert "8 of 9 truths hold, 2 of other schemas skipped" in page
    assert "a check [a-z] totals" in page
    assert "3 rows break it, of 2 tenants (rest/check.toml:4)" in page
    assert "harness fill --audit" in page


def test_the_page_of_a_held_run_has_no_failures(held_run: Run) -> None:
    page = html.render(held_run)
    assert "✓ Held" in page
    assert "What did not hold" not in page
    assert "What was accepted" not in page


def test_the_page_says_what_was_accepted_and_why(failed_run: Run) -> None:
    accepted = html.render(failed_run).partition("What was accepted")[2]
    for text in ("TEN001", "rest.unit has no tenant", "&lt;units&gt; are", "beside the statement"):
        assert text in accepted


def test_the_page_tells_what_was_probed_beside_tables(held_run: Run) -> None:
    more = (
        ProbeResult("rest.f(integer)", "function", "noted", "not called to an end: no such thing"),
        ProbeResult("rest.check", "duplicate_key", "weak", "(email) is refused as taken"),
    )
    run = replace(held_run, probes=(*held_run.probes, *more))
    assert not run.held
    page = html.render(run)
    text = told(page)
    for said in ("✓ Function 1", "– noted", "✗ Duplicate key 1", "weak rest.check, duplicate_key"):
        assert said in text


def test_what_is_only_noted_lets_a_run_hold(held_run: Run) -> None:
    noted = ProbeResult("harness", "size", "noted", "EXPLAIN estimates 3581")
    run = replace(held_run, probes=(*held_run.probes, noted))
    assert run.held
    assert "What did not hold" not in html.render(run)
    assert terminal.told_probes(run.probes) == "0 leaks in 3 probes of 2 objects, 1 noted"


def test_the_page_holds_the_document_itself(failed_run: Run) -> None:
    refused = ProbeResult("rest.tip", "insert", "held", 'row violates policy for table "tip"')
    run = replace(failed_run, probes=(*failed_run.probes, refused))
    assert embedded.unpack(html.render(run)) == run


def test_a_page_without_a_run_is_refused() -> None:
    with pytest.raises(UsageError, match=r"x\.html: holds no run"):
        embedded.unpack("<html></html>", "x.html")


def test_a_thousand_tables_make_a_small_page(held_run: Run) -> None:
    probes = tuple(
        ProbeResult(f"rest.table_{number}", probe, "held", f"refused: table_{number} is closed")
        for number in range(1000)
        for probe in isolation.PROBES
    )
    page = html.render(replace(held_run, probes=probes))
    assert "✓ rest 1000 tables, all held" in told(page)
    assert len(page) < 60_000


def test_tables_to_which_the_same_happened_stand_together() -> None:
    probes = [
        *(ProbeResult(f"a.t{number}", "select", "held") for number in range(3)),
        ProbeResult("a.open", "select", "leak", "read 7 rows"),
        ProbeResult("b.t", "copy", "held"),
    ]
    first, second = isolation.matrices(probes)
    assert [row.tables for row in first.rows] == [("open",), ("t0", "t1", "t2")]
    assert (first.open, second.open) == (True, False)
    assert second.rows[0].cells[:3] == ("", "held", "")


def test_objects_of_which_the_same_is_told_stand_together() -> None:
    probes = [
        ProbeResult("a.f()", "function", "noted", "gave nothing"),
        ProbeResult("a.g()", "function", "noted", "gave nothing"),
        ProbeResult("a.h()", "function", "leak", "gave a row"),
        ProbeResult("a.i()", "function", "held"),
    ]
    (survey,) = isolation.surveys(probes)
    assert survey.objects == 4
    assert [(told.verdict, told.objects) for told in survey.told] == [
        ("leak", ("a.h()",)),
        ("noted", ("a.f()", "a.g()")),
    ]


def test_the_chart_rises_once_in_a_column_of_pixels() -> None:
    drawn = chart.ecdf([(1.0, 1), (1.001, 1), (100.0, 1), (103.0, 1)], 300)
    assert 'd="M4 50h53v-22h106v-11l1-11H216"' in drawn


def test_every_element_of_the_page_is_closed(failed_run: Run) -> None:
    class Balance(HTMLParser):
        open: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("meta", "br"):
                self.open.append(tag)

        def handle_startendtag(self, tag: str, attrs: object) -> None:
            assert tag in ("path", "use")

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag, tag

    balance = Balance()
    balance.feed(html.render(failed_run))
    assert balance.open == []


def test_junit_counts_what_failed(failed_run: Run) -> None:
    suites = ElementTree.fromstring(junit_run.render(failed_run))  # noqa: S314
    counted = {s.get("name"): (s.get("tests"), s.get("failures")) for s in suites}
    assert counted["isolation"] == ("3", "1")
    assert counted["load"] == ("2", "1")
    assert counted["findings"] == ("2", "1"), "one was accepted"
    assert counted["truths"] == ("1", "1")


def test_a_budget_is_an_exact_bucket_bound(held_run: Run) -> None:
    buckets = {
        labels["le"]: value
        for labels, value in _samples(held_run)["harness_query_duration_seconds_bucket"]
    }
    assert buckets["0.04"] == 100, "the budget of 40 ms"
    assert buckets["0.01"] == 100
    assert buckets["+Inf"] == 100


def test_metrics_state_leaks_budgets_and_stages(failed_run: Run) -> None:
    samples = _samples(failed_run)
    assert samples["harness_isolation_leaks"] == [({}, 1)]
    assert samples["harness_run_held"] == [({}, 0)]
    verdicts = {
        labels["query"]: labels["verdict"] for labels, _ in samples["harness_query_verdict"]
    }
    assert verdicts == {"rest.station_queue": "pass", "rest.<slow>": "miss"}
    budgets = samples["harness_query_budget_seconds"]
    assert ({"query": "rest.station_queue", "objective": "0.95"}, 0.04) in budgets


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_prometheus_finds_nothing_wrong_with_a_run(failed_run: Run) -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=prometheus.textfile(failed_run),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_terminal_names_failures_without_color(failed_run: Run) -> None:
    out = StringIO()
    terminal.print_run(failed_run, Console(file=out, width=100))
    text = out.getvalue()
    assert "\x1b" not in text
    assert "✗ leak: rest.tip select: read 7 rows" in text
    assert "✗ rest/check.toml:4: a check [a-z] totals: 3 rows break it, of 2 tenants" in text
    assert '{"n": "[/red]"}' in text
    assert "rest.<slow>: MISS: p95 0.9 ms, the budget is 0.5 ms" in text
    assert "FAILED" in text
