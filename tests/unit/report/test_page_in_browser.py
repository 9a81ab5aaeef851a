"""The pages in a real browser: what axe-core finds, and what a reader can reach.

Needs Chromium and npm, which gets axe-core once into the user's cache; is skipped where one of
them, or what npm asks, is not there.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from platformdirs import user_cache_path

from harness.cli.comparing import compared
from harness.growth_result import GrowthResult
from harness.load_result import Counted, LoadResult, Plan
from harness.report import change_html, html
from harness.rls_cost_result import RlsCostResult
from harness.run import ProbeResult, Run, TenantFill
from harness.volume import SchemaVolume, TableVolume, Volume
from tests.unit.conftest import query_result
from tests.unit.report.trials import DRILL, cost, growth

AXE = "4.14.1"
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
LOOK = """
document.querySelectorAll("details").forEach(each => { each.open = true; });
const reached = [...document.querySelectorAll("a[href], summary, [tabindex='0']")];
// The clock of the browser jumps where nothing waits for it, so the texts are waited for in turns.
const turn = () => new Promise(next => {
  const channel = new MessageChannel();
  channel.port1.onmessage = next;
  channel.port2.postMessage(0);
});
const filled = () => [...document.querySelectorAll("tr pre")].every(each => each.textContent);
setTimeout(async () => {
  for (let turns = 0; turns < 200000 && (turns % 100 || !filled()); turns++) await turn();
  const found = await axe.run(document, {resultTypes: ["violations"]});
  const seen = document.createElement("pre");
  seen.id = "seen";
  seen.textContent = JSON.stringify({
    violations: found.violations.map(each => [each.id, each.nodes.map(node => node.html)]),
    passes: found.passes.length,
    fits: document.documentElement.scrollWidth <= document.documentElement.clientWidth,
    first: reached[0].textContent,
    dead: [...document.querySelectorAll("nav a")].filter(
      each => !document.querySelector(each.getAttribute("href"))).length,
    background: getComputedStyle(document.body).backgroundColor,
    plans: [...document.querySelectorAll("tr pre")].map(each => each.textContent),
    requests: performance.getEntriesByType("resource").length,
  });
  document.body.append(seen);
}, 300);
"""


@pytest.fixture(scope="session")
def browser() -> str:
    """The program."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium is installed: the pages are not looked at in a browser")
    return found


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The text of axe-core, from the user's cache or through npm."""
    kept = user_cache_path("tenant-harness-tests") / f"axe-{AXE}.min.js"
    if not kept.exists():
        _fetch_axe(tmp_path_factory.mktemp("npm"), kept)
    return kept.read_text(encoding="utf-8")


def _fetch_axe(directory: Path, kept: Path) -> None:
    if not shutil.which("npm"):
        pytest.skip("npm is not installed: accessibility is not tested")
    command = ["npm", "install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(
        [*command, f"axe-core@{AXE}"], cwd=directory, capture_output=True, text=True, timeout=120
    )
    if done.returncode:
        pytest.skip(f"npm cannot get axe-core: accessibility is not tested: {done.stderr[-200:]}")
    kept.parent.mkdir(parents=True, exist_ok=True)
    aside = kept.with_name(f"{directory.name}.part")
    shutil.copy(directory / "node_modules/axe-core/axe.min.js", aside)
    aside.replace(kept)


@dataclass(frozen=True, slots=True)
class Look:
    """What is seen of a page."""

    violations: list[Any]
    passes: int
    fits: bool
    first: str
    dead: int
    background: str
    plans: list[str]
    requests: int


def look(page: str, browser: str, axe: str, path: Path, *, width: int, dark: bool) -> Look:
    """A page with everything opened, at that width."""
    seeing = f"<script>{axe}</script><script>{LOOK}</script></body>"
    path.write_text(page.replace("</body>", seeing), encoding="utf-8")
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    done = subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", scheme, "--dump-dom"),
            *(f"--window-size={width},900", "--virtual-time-budget=20000", path.as_uri()),
            f"--user-data-dir={path.parent / 'profile'}",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    (seen,) = re.findall(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    return Look(**json.loads(unescape(seen)))


@pytest.fixture
def full_run(failed_run: Run) -> Run:
    """A run that has something of all that a page can show."""
    assert failed_run.fill
    assert failed_run.load
    plan = Plan("d1", ("Limit", "  Index Scan check_pkey on check"), 79, 0.4, remarks=("a sort",))
    queries = [query_result(f"hs.held_{number}", plan=plan) for number in range(15)]
    slow = replace(failed_run.load.queries[1], plan=plan, explanation=("it waited", "  Limit"))
    odd = ("duplicate_key", "weak", "(email) is refused as taken")
    load = LoadResult(8, 20, 3, 10, (*queries, slow), notes=("the driver was saturated",))
    share = TenantFill("t1", "c1", "retail", "giant", 900)
    return replace(
        failed_run,
        probes=(
            *failed_run.probes,
            ProbeResult("rest.check", *odd),  # type: ignore[arg-type]
            ProbeResult("rest.f(integer)", "function", "noted", "gave nothing"),
        ),
        fill=replace(failed_run.fill, shares=(share,), fewer=(f"rest.tip: {'long' * 50}",)),
        load=replace(load, server=(Counted("WAL", "bytes", 1, 9e6), Counted("WAL", "x", 9, 1))),
        volume=Volume({"rest": SchemaVolume(1, 2)}, (TableVolume("rest.check", 1, 2),)),
        growth=GrowthResult(("0.01", "0.04"), "100x", 9, (growth("hs.grows", "linear", 1.0),)),
        rls_cost=RlsCostResult(tuple(cost(f"hs.q{n}", 1 + n / 9) for n in range(20)), 1.05),
        drill=DRILL,
    )


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_the_page_can_be_read_and_operated_by_everybody(
    full_run: Run, browser: str, axe: str, tmp_path: Path, width: int, dark: bool
) -> None:
    page = html.render(full_run)
    seen = look(page, browser, axe, tmp_path / "page.html", width=width, dark=dark)
    assert seen.violations == []
    assert seen.passes > 20, "axe looked at it"
    assert seen.fits, "nothing stands out of the page"
    assert seen.first == "Skip to the report"
    assert seen.dead == 0, "each link of the sections leads somewhere"
    assert (seen.background == "rgb(255, 255, 255)") is not dark
    assert seen.requests == 0
    plans = [text for text in seen.plans if "Index Scan check_pkey on check" in text]
    assert len(plans) == 16, "plans of queries that held come out of the document"


def test_a_comparison_can_be_read_by_everybody(
    full_run: Run, held_run: Run, browser: str, axe: str, tmp_path: Path
) -> None:
    page = change_html.render(compared(held_run, full_run))
    seen = look(page, browser, axe, tmp_path / "page.html", width=390, dark=False)
    assert seen.violations == []
    assert (seen.fits, seen.dead, seen.first) == (True, 0, "Skip to the report")


def test_what_nobody_can_read_is_found(browser: str, axe: str, tmp_path: Path) -> None:
    page = '<!doctype html><html><body><a href="#">a</a><img src="x"></body></html>'
    seen = look(page, browser, axe, tmp_path / "page.html", width=1280, dark=False)
    assert {name for name, _ in seen.violations} >= {"image-alt", "html-has-lang"}
