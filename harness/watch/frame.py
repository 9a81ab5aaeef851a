"""A frame of the watch: lines of text from what was seen, as many and as wide as fit.

Pure: the same view gives the same lines. Colors only repeat what signs and words say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from rich.text import Text

from harness.live.counts import Counts
from harness.live.working import Working
from harness.watch import load
from harness.watch.rates import Rates, rates
from harness.watch.server import Blocked, Operation, Sample, Wait

BAR = 20
MANY = 1000
"""Rows of a frame that has no height of its own."""


@dataclass(frozen=True, slots=True)
class View:
    """What was seen up to a moment; `now` are seconds of the clock."""

    place: str
    now: float
    clock: str
    server: str = ""
    """PostgreSQL's version."""
    sample: Sample | None = None
    before: Sample | None = None
    working: Sequence[Working] = ()
    loads: Sequence[Counts] = ()
    loads_before: Sequence[Counts] = ()
    lost: str = ""
    """Why the server does not answer; empty where it does."""


def frame(view: View, width: int, height: int = MANY) -> list[Text]:
    """The lines of a frame; queries of a load get the lines that all else leaves."""
    heads = [*_head(view), *_server(view), *_work(view)]
    tails = [*_waits(view), *_locks(view), *_operations(view), *_busiest(view)]
    loads = [load.lines(each, _same(each, view.loads_before), view.now) for each in view.loads]
    left = max(height - len(heads) - len(tails), 0)
    shown = list(islice(chain.from_iterable(loads), left))
    lines = [*heads, *shown, *tails][:height]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


def _same(counts: Counts, others: Sequence[Counts]) -> Counts | None:
    return next((other for other in others if other.load == counts.load), None)


def _head(view: View) -> Iterator[Text]:
    server = f" · PostgreSQL {view.server}" if view.server else ""
    yield Text.assemble(("harness watch", "bold"), f" · {view.place}{server} · {view.clock}")
    if view.lost:
        yield Text(f"✗ {view.lost}; trying again", "red")


def _server(view: View) -> Iterator[Text]:
    if view.sample is None:
        return
    if view.before is not None and view.before.totals.at < view.sample.totals.at:
        yield Text(_told_rates(rates(view.before.totals, view.sample.totals)))
    sessions, size = view.sample.sessions, view.sample.size
    told = [f"{sessions.sessions} of {sessions.most} connections, {sessions.active} active"]
    if sessions.idle_in_transaction:
        told.append(f"{sessions.idle_in_transaction} idle in transaction")
    told.append(f"oldest transaction {sessions.oldest:.1f} s")
    if size:
        told.append(f"{told_bytes(size)}")
    yield Text(" · ".join(told))


def _told_rates(now: Rates) -> str:
    told = [f"{now.transactions:,.0f} tx/s"]
    if now.rollbacks >= 0.05:
        told.append(f"{now.rollbacks:,.1f} rolled back/s")
    told += [f"rows/s {now.rows_read:,.0f} read, {now.rows_written:,.0f} written"]
    told += [f"WAL {told_bytes(now.wal_bytes)}/s"]
    if now.cache_share is not None:
        told.append(f"cache {now.cache_share:.1%}")
    if now.temp_bytes:
        told.append(f"temporary files {told_bytes(now.temp_bytes)}/s")
    if now.deadlocks:
        told.append(f"✗ {now.deadlocks} deadlocks")
    return " · ".join(told)


def _work(view: View) -> Iterator[Text]:
    for work in view.working:
        rate = work.rows / (work.told - work.began) if work.told > work.began else 0.0
        told = [f"{work.doing} {work.database}"]
        if work.total:
            share = min(work.done / work.total, 1.0)
            told.append(f"{bar(share)} {share:.0%} ({work.done:,.0f} of {work.total:,.0f})")
        if work.rows:
            told.append(f"{work.rows:,} rows, {rate:,.0f} rows/s")
        if work.where:
            told.append(work.where)
        yield Text(" · ".join(told), "cyan")


def bar(share: float) -> str:
    """A bar that is filled to that share, in characters that every terminal has."""
    filled = round(share * BAR)
    return f"[{'#' * filled}{'-' * (BAR - filled)}]"


def _waits(view: View) -> Iterator[Text]:
    waits = view.sample.waits if view.sample else ()
    yield from _listed("waits", waits, 4, _told_wait)


def _told_wait(wait: Wait) -> str:
    words = f" ({wait.description.rstrip('.')})" if wait.description else ""
    return f"{wait.sessions} {wait.event}{words}"


def _locks(view: View) -> Iterator[Text]:
    blocked = view.sample.blocked if view.sample else ()
    yield from _listed("locks", blocked, 4, _told_blocked)


def _told_blocked(one: Blocked) -> str:
    who = f"{one.pid} {one.application}".strip()
    told = f"✗ {who} waits {one.seconds:.1f} s for {one.object}"
    if one.holder is None:
        return told
    holder = f"{one.holder} {one.holder_application or ''}".strip()
    return f"{told}, held by {holder} ({one.holder_state}): {one.holder_query}"


def _operations(view: View) -> Iterator[Text]:
    operations = view.sample.operations if view.sample else ()
    yield from _listed("at work", operations, 4, _told_operation)


def _told_operation(one: Operation) -> str:
    share = f" {one.ratio:.0%}" if one.ratio is not None else ""
    table = f" {one.schema}.{one.table}" if one.table else ""
    return f"{one.command}{table}: {one.phase}{share}"


def _busiest(view: View) -> Iterator[Text]:
    seen = view.sample.applications if view.sample else {}
    total = sum(seen.values())
    if not total:
        return
    order = sorted(seen.items(), key=lambda item: (-item[1], item[0]))
    told = [f"{name} {count / total:.0%}" for name, count in order[:5]]
    yield Text(f"busiest applications: {', '.join(told)} (of {total} sightings)")


def _listed(
    title: str, things: Sequence[Any], most: int, told: Callable[[Any], str]
) -> Iterator[Text]:
    if not things:
        return
    yield Text(f"{title}:", "bold")
    for thing in things[:most]:
        yield Text(f"  {told(thing)}")
    if len(things) > most:
        yield Text(f"  … and {len(things) - most} more")


def told_bytes(count: float) -> str:
    """Bytes for people."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"
