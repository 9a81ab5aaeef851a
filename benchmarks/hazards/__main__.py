"""`python -m benchmarks.hazards [H13 …]`: which layer sees which fault, what is said of sound
schemas, and the same of pgrls where it is installed. BENCHMARK_DSN names a server of your own.

Promise: text and catalog see at least 62 of 66, text alone at least 45 and calls none of the rest
clean, all layers together 66; nothing is found in a sound schema.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from statistics import median

from benchmarks.hazards import pgrls
from benchmarks.hazards.databases import deployed
from benchmarks.hazards.faults import faults
from benchmarks.hazards.layers import LIVE
from benchmarks.hazards.scoring import COLUMNS, TEXT, Alarms, Score, alarms, scores
from benchmarks.hazards.specimens import controls, plain
from benchmarks.measure import any_server


def main() -> None:
    """Prints a line per fault, a line per sound schema, and totals."""
    wanted = set(sys.argv[1:])
    chosen = [fault for fault in faults(plain()) if not wanted or fault.number in wanted]
    print(f"peer: {pgrls.version() or f'none; {pgrls.HOW_TO}'}")
    print(f"{'':<33}" + "".join(f"{name:<18}" for name in COLUMNS))
    with any_server() as conninfo:
        with deployed(conninfo, plain()) as original:
            told = [_tell(score) for score in scores(original, chosen)]
        sound = [] if wanted else [_tell_sound(alarms(conninfo, each)) for each in controls()]
    _tell_totals(told)
    for name in COLUMNS if sound else ():
        print(f"{name}: {sum(len(each.said[name]) for each in sound)} findings in sound schemas")


def _tell(score: Score) -> Score:
    columns = [_cell(score, name) for name in COLUMNS]
    name = f"{score.fault.number} {score.fault.operator.name}"
    print(f"{name:<33}" + "".join(f"{cell:<18}" for cell in columns), flush=True)
    return score


def _cell(score: Score, name: str) -> str:
    if name == "probes" and len(score.seen[name]) > 1:
        return f"{len(score.seen[name])} probes"
    if name == TEXT and score.needs_database and not score.seen[name]:
        return "needs a database"
    return " ".join(score.seen[name]) or "-"


def _tell_sound(found: Alarms) -> Alarms:
    said = [f"{name}: {', '.join(each)}" for name, each in found.said.items() if each]
    said += [f"needs a database: {', '.join(found.undecided)}"] if found.undecided else []
    print(f"sound: {found.name}: {'; '.join(said) or 'nothing found'}", flush=True)
    return found


def _tell_totals(told: Sequence[Score]) -> None:
    clean = sum(not (score.seen[TEXT] or score.needs_database) for score in told)
    print(f"text alone: {_count(told, TEXT)} (at least 45), {clean} called clean (none)")
    print(f"text and catalog: {_count(told, TEXT, 'catalog')} (at least 62)")
    print(f"with truth table and probes: {_count(told, TEXT, *LIVE)} (all)")
    for name in COLUMNS:
        seconds = median(score.seconds[name] for score in told)
        print(f"{name} by itself: {_count(told, name)}, {seconds:.2f} s each")


def _count(told: Sequence[Score], *layers: str) -> str:
    hit = sum(any(score.seen[name] for name in layers) for score in told)
    return f"{hit} of {len(told)}"


if __name__ == "__main__":
    main()
