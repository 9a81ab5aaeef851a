"""Rows per second and memory of a fill as its rows grow, into a partitioned table of its own, in
both modes. Promise: at most 10 % fewer rows per second from 1 million rows on, memory flat.

`python -m benchmarks.fill_scale MILLIONS...`; 10 takes some 3 GB of disk.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from benchmarks.measure import benchmark_server
from datagen import fill
from datagen.plan import FillSettings, Mode
from harness.config import Settings, Tenancy
from harness.db import Target
from harness.deploy.deploy import deploy

SCHEMA = """
CREATE SCHEMA shop;
CREATE TABLE shop.org (org_id uuid PRIMARY KEY, name text NOT NULL);
CREATE TABLE shop.device (
    org_id    uuid NOT NULL REFERENCES shop.org,
    device_id uuid NOT NULL,
    name      text NOT NULL,
    PRIMARY KEY (org_id, device_id)
);
CREATE TABLE shop.reading (
    org_id      uuid        NOT NULL,
    reading_id  uuid        NOT NULL,
    created_at  timestamptz NOT NULL,
    device_id   uuid        NOT NULL,
    state       text        NOT NULL CHECK (state IN ('good', 'bad', 'unknown')),
    degrees     numeric(6, 2),
    checked     boolean     NOT NULL,
    PRIMARY KEY (org_id, reading_id, created_at),
    FOREIGN KEY (org_id, device_id) REFERENCES shop.device
) PARTITION BY RANGE (created_at);
CREATE TABLE shop.reading_2024 PARTITION OF shop.reading
    FOR VALUES FROM (MINVALUE) TO ('2025-01-01');
CREATE TABLE shop.reading_2025 PARTITION OF shop.reading
    FOR VALUES FROM ('2025-01-01') TO ('2025-07-01');
CREATE TABLE shop.reading_rest PARTITION OF shop.reading DEFAULT;
CREATE INDEX reading_device_idx ON shop.reading (org_id, device_id, created_at);
"""
RECIPE = """
[device]
rows = 2_000
fixed = true

[reading]
rows = 1_000_000
"""
AS_OF = datetime(2026, 1, 1, tzinfo=UTC)


def main(millions: list[float]) -> None:
    """Fills each number of rows in a process of its own, and prints its rate and memory."""
    with tempfile.TemporaryDirectory() as made, benchmark_server() as (settings, fresh):
        directory = Path(made)
        (directory / "shop.sql").write_text(SCHEMA)
        (directory / "shop").mkdir()
        (directory / "shop" / "devices.toml").write_text(RECIPE)
        ours = settings.model_copy(update={"schema_dir": directory, "tenancy": _tenancy()})
        for mode in get_args(Mode):
            for count in millions:
                target = fresh("fill_scale")
                deploy(target, ours)
                wanted = FillSettings(1, count, 1, AS_OF, recipes_dir=directory)
                told = _apart(target, replace(wanted, mode=mode))
                print(f"{mode}, {count:g} million rows: {told}", flush=True)


def _tenancy() -> Tenancy:
    return Tenancy(
        column="org_id",
        setting="app.org",
        root_table="shop.org",
        current_tenant="current_setting('app.org')::uuid",
        set_tenant="SELECT set_config('app.org', %s::text, true)",
    )


def _apart(target: Target, wanted: FillSettings) -> str:
    """Fills in a new process, whose memory is this fill's alone."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        dsns = (target.admin, target.app, target.loader)
        rows, seconds, memory = pool.apply(_fill, (dsns, wanted))
    return f"{rows / seconds:,.0f} rows/s, {seconds:.1f} s, memory {memory >> 20} MB at most"


def _fill(dsns: tuple[str, str, str], wanted: FillSettings) -> tuple[int, float, int]:
    settings = Settings.model_construct(tenancy=_tenancy())
    began = time.perf_counter()
    rows = fill.fill(Target(*dsns), settings, wanted).rows
    spent = time.perf_counter() - began
    return rows, spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main([float(given) for given in sys.argv[1:]] or [1.0, 3.0, 10.0])
