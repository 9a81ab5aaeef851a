"""Plants every fault alone and notes what each layer and the peer say of it, and how long it
takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import TypeVar

from benchmarks.hazards import pgrls
from benchmarks.hazards.databases import Original, copy, deployed
from benchmarks.hazards.faults import Fault
from benchmarks.hazards.layers import LIVE, UNSEEN, Layer, in_text, new
from benchmarks.hazards.specimens import Specimen
from benchmarks.measure import Conninfo
from harness.config import Settings
from harness.db import Connection, Target
from harness.finding import Finding, Severity

TEXT, PEER = "text", "pgrls"
COLUMNS = (TEXT, *LIVE, PEER)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Score:
    """What was said of a fault."""

    fault: Fault
    seen: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Per layer, the rules or probes that saw it."""
    needs_database: bool = False
    """Whether the text-only check said that it cannot see something new."""
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alarms:
    """What was said of a sound schema, of severity warning or above."""

    name: str
    said: dict[str, tuple[str, ...]]
    undecided: tuple[str, ...]
    """What cannot be told without asking PostgreSQL, and the text-only check says so."""


def scores(original: Original, faults: list[Fault]) -> Iterator[Score]:
    """A score per fault."""
    with copy(original, lambda _: None) as sound:
        before = {name: layer(sound, original.specimen.settings) for name, layer in LIVE.items()}
        before[TEXT] = in_text(original.specimen.settings)
        known = pgrls.findings(sound)
    for fault in faults:
        with copy(original, _planting(fault)) as target:
            yield _score(fault, target, original.specimen.settings, before, known)


def alarms(conninfo: Conninfo, specimen: Specimen) -> Alarms:
    """All of it false, for nothing is wrong with the schema."""
    with deployed(conninfo, specimen) as original:
        found = {name: layer(original.target, specimen.settings) for name, layer in LIVE.items()}
        told = {t for t in pgrls.findings(original.target) if t.severity != "info"}
    found[TEXT] = in_text(specimen.settings)
    asking = tuple(f.object for f in found[TEXT] if f.rule in UNSEEN)
    for name in (TEXT, "catalog"):
        found[name] = [f for f in found[name] if f.rule not in UNSEEN]
    said = {name: _loud(each) for name, each in found.items()}
    said[PEER] = tuple(sorted(f"{rule} {place}" for rule, _, place in told))
    return Alarms(specimen.name, said, asking)


def _planting(fault: Fault) -> Callable[[Connection], object]:
    return lambda connection: connection.execute(fault.statement)


def _score(
    fault: Fault,
    target: Target,
    settings: Settings,
    before: dict[str, list[Finding]],
    known: set[pgrls.Told],
) -> Score:
    read, seconds = _timed(lambda: in_text(settings, fault.text))
    found = {TEXT: (new(read, before[TEXT]), seconds)}
    for name, layer in LIVE.items():
        found[name] = _asked(layer, target, settings, before[name])
    told, seconds = _timed(lambda: pgrls.findings(target))
    seen = {name: _about(name, fault, findings) for name, (findings, _) in found.items()}
    seen[PEER] = tuple(sorted({each.rule for each in told - known}))
    return Score(
        fault,
        seen,
        needs_database=any(f.rule in UNSEEN for f in found[TEXT][0]),
        seconds={name: spent for name, (_, spent) in found.items()} | {PEER: seconds},
    )


def _asked(
    layer: Layer, target: Target, settings: Settings, before: list[Finding]
) -> tuple[list[Finding], float]:
    after, seconds = _timed(lambda: layer(target, settings))
    return new(after, before), seconds


def _about(layer: str, fault: Fault, found: list[Finding]) -> tuple[str, ...]:
    """The rules that are about the fault; of probes all, for each has crossed the boundary."""
    rules = {f.rule for f in found if layer == "probes" or f.rule in fault.rules}
    return tuple(sorted(rule.removeprefix("isolation.") for rule in rules))


def _timed(action: Callable[[], T]) -> tuple[T, float]:
    started = perf_counter()
    return action(), perf_counter() - started


def _loud(found: list[Finding]) -> tuple[str, ...]:
    return tuple(f"{f.rule} {f.object}" for f in found if f.severity is not Severity.INFO)
