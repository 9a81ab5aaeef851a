"""Hazards planted in a live database are seen there, and nothing of them is left behind."""

from __future__ import annotations

import psycopg
from psycopg.conninfo import make_conninfo

from benchmarks.hazards.databases import deployed
from benchmarks.hazards.faults import faults
from benchmarks.hazards.scoring import scores
from benchmarks.hazards.specimens import plain
from harness.db import Target


def test_hazards_are_seen_live_and_roles_are_restored(server: Target) -> None:
    chosen = [f for f in faults(plain()) if f.number in ("H13", "H60")]
    with deployed(lambda name: make_conninfo(server.admin, dbname=name), plain()) as original:
        several, default = scores(original, chosen)
        with psycopg.connect(server.admin) as connection:
            left = connection.execute(
                "SELECT rolname, rolconfig FROM pg_roles"
                " WHERE rolname IN ('bench_app', 'harness_mutant')"
            ).fetchall()
    assert several.seen["truth table"] == ("POL001",)
    assert "select" in several.seen["probes"]
    assert default.seen["catalog"] == ("CTX002",)
    assert left == [("bench_app", None)]
