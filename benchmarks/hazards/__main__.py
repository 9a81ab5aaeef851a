"""`python -m benchmarks.hazards [H13 …]`: which layer sees which fault, what is said about sound
schemas, and the same of pgrls where it is installed. HARNESS_DSN names a server of your own.

Promise: text and catalog see at least 62 of 66, text alone at least 45 and calls none of the rest
clean, all layers together 66; nothing is found in a sound schema.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from time import perf_counter

from benchmarks.hazards import pgrls
from benchmarks.hazards.databases import Original, copy, deployed
from benchmarks.hazards.faults import Fault, faults
from benchmarks.hazards.layers import LIVE, UNSEEN, in_text, new
from benchmarks.hazards.specimens import Specimen, controls, plain
from benchmarks.measure import Conninfo, any_server
from harness.config import load
from harness.finding import Finding, Severity

TEXT = "text"
PEER = "pgrls"
COLUMNS = (TEXT, *LIVE, PEER)
Seen = dict[str, str]
"""What each layer says of a fault: rules, `-`, or `(needs a database)`."""


def main() -> None:
    """Prints a line per fault, a line per sound schema, and totals."""
    wanted = set(sys.argv[1:])
    peer = pgrls.version()
    print(f"peer: {peer}" if peer else f"peer: none; {pgrls.HOW_TO}")
    with any_server(load()) as conninfo:
        with deployed(conninfo, plain()) as original:
            chosen = [f for f in faults(plain()) if not wanted or f.number in wanted]
            _tell_totals([_tell(fault, seen) for fault, seen in _all(original, chosen)])
        if not wanted:
            for specimen in controls():
                print(_sound(conninfo, specimen))


def _all(original: Original, chosen: list[Fault]) -> Iterator[tuple[Fault, Seen]]:
    settings = original.specimen.settings
    before: dict[str, list[Finding]] = {TEXT: in_text(settings)}
    with copy(original, lambda _: None) as sound:
        before |= {name: layer(sound, settings) for name, layer in LIVE.items()}
        known_to_peer = pgrls.findings(sound, settings)
    for fault in chosen:
        seen = {TEXT: _in_text(fault, new(in_text(settings, fault.text), before[TEXT]))}
        with copy(original, lambda c, fault=fault: c.execute(fault.statement)) as target:  # type: ignore[misc]
            for name, layer in LIVE.items():
                seen[name] = _live(name, fault, new(layer(target, settings), before[name]))
            news = pgrls.findings(target, settings) - known_to_peer
            seen[PEER] = " ".join(sorted({f.rule for f in news})) or "-"
        yield fault, seen


def _in_text(fault: Fault, found: list[Finding]) -> str:
    if rules := _about(fault, found):
        return rules
    return "(needs a database)" if any(f.rule in UNSEEN for f in found) else "-"


def _live(layer: str, fault: Fault, found: list[Finding]) -> str:
    if layer != "probes":
        return _about(fault, found) or "-"
    return " ".join(sorted({f.rule.removeprefix("isolation.") for f in found})) or "-"


def _about(fault: Fault, found: list[Finding]) -> str:
    return " ".join(sorted({f.rule for f in found if f.rule in fault.rules}))


def _tell(fault: Fault, seen: Seen) -> Seen:
    columns = "  ".join(f"{seen[name]:<22}" for name in COLUMNS)
    print(f"{fault.number}  {fault.operator.name:<28}{columns}", flush=True)
    return seen


def _tell_totals(seen: list[Seen]) -> None:
    def count(*layers: str) -> str:
        hit = sum(any(each[name] not in _NOT_SEEN for name in layers) for each in seen)
        return f"{hit} of {len(seen)}"

    unseen = sum(each[TEXT] == "-" for each in seen)
    print(f"text alone: {count(TEXT)} (at least 45), {unseen} of the rest called clean (none)")
    print(f"text and catalog: {count(TEXT, 'catalog')} (at least 62)")
    print(f"with truth table and probes: {count(TEXT, *LIVE)} (all)")
    for name in COLUMNS:
        print(f"{name} by itself: {count(name)}")


_NOT_SEEN = ("-", "(needs a database)", "")


def _sound(conninfo: Conninfo, specimen: Specimen) -> str:
    """What is said of a sound schema; all of it is false alarm."""
    found = {TEXT: in_text(specimen.settings)}
    seconds = {}
    with deployed(conninfo, specimen) as original:
        for name, layer in LIVE.items():
            started = perf_counter()
            found[name] = layer(original.target, specimen.settings)
            seconds[name] = perf_counter() - started
        peer = pgrls.findings(original.target, specimen.settings)
    alarms = [f"{name}: {_listed(each)}" for name, each in found.items() if _loud(each)]
    alarms += (
        [f"{PEER}: {len(loud)}"] if (loud := {f for f in peer if f.severity != "info"}) else []
    )
    return f"sound: {specimen.name}: {'; '.join(alarms) or 'nothing found'}"


def _loud(found: list[Finding]) -> list[Finding]:
    return [finding for finding in found if finding.severity is not Severity.INFO]


def _listed(found: list[Finding]) -> str:
    return ", ".join(f"{f.rule} {f.object}" for f in _loud(found))


if __name__ == "__main__":
    main()
