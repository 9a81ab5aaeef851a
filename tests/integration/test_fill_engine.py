"""Filling in cohorts and by several processes: the same rows, also after a kill."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psutil
import psycopg
import pytest

from datagen import turn
from datagen.fill import fill
from datagen.plan import FillSettings
from harness.config import Settings, Tenancy
from harness.db import Target
from harness.deploy import roles
from harness.deploy import target as targets
from harness.errors import DatabaseError, RefusedError
from harness.run import FillResult
from tests.integration.spares import database as made_database
from tests.integration.spares import name_of

SCHEMA = """
CREATE SCHEMA shop;
CREATE TABLE shop.org (org_id uuid PRIMARY KEY, name text NOT NULL);
CREATE TABLE shop.kind (
    org_id uuid NOT NULL REFERENCES shop.org, kind_id uuid NOT NULL, code text NOT NULL,
    PRIMARY KEY (org_id, kind_id), UNIQUE (org_id, code)
);
CREATE TABLE shop.item (
    org_id uuid NOT NULL, item_id uuid NOT NULL, kind_id uuid NOT NULL,
    shelf integer NOT NULL CHECK (shelf BETWEEN 1 AND 4000),
    price numeric(12, 2) NOT NULL CHECK (price > 0),
    is_default boolean NOT NULL, replaces_item_id uuid, created_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, item_id), UNIQUE (org_id, shelf),
    FOREIGN KEY (org_id, kind_id) REFERENCES shop.kind (org_id, kind_id),
    FOREIGN KEY (org_id, replaces_item_id) REFERENCES shop.item (org_id, item_id)
);
CREATE UNIQUE INDEX one_default ON shop.item (org_id) WHERE is_default;
CREATE TABLE shop.bill (
    org_id uuid NOT NULL, bill_id bigint NOT NULL, number text NOT NULL,
    made_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, bill_id), UNIQUE (org_id, number)
);
CREATE TABLE shop.line (
    org_id uuid NOT NULL, line_id uuid NOT NULL, bill_id bigint NOT NULL, item_id uuid NOT NULL,
    position integer NOT NULL, billed_at timestamptz NOT NULL, price numeric(12, 2) NOT NULL,
    PRIMARY KEY (org_id, line_id), UNIQUE (org_id, bill_id, position),
    FOREIGN KEY (org_id, bill_id) REFERENCES shop.bill (org_id, bill_id),
    FOREIGN KEY (org_id, item_id) REFERENCES shop.item (org_id, item_id)
);
CREATE TABLE shop.slot (
    org_id uuid NOT NULL, slot_id uuid NOT NULL,
    hour integer NOT NULL CHECK (hour BETWEEN 0 AND 23),
    day integer NOT NULL CHECK (day BETWEEN 1 AND 10),
    PRIMARY KEY (org_id, slot_id), UNIQUE (org_id, day, hour)
);
CREATE TABLE shop.total (
    org_id uuid NOT NULL, bill_id bigint NOT NULL, total numeric NOT NULL, lines bigint NOT NULL,
    PRIMARY KEY (org_id, bill_id)
);
CREATE TABLE shop.known (
    org_id uuid NOT NULL, round integer NOT NULL, totals bigint NOT NULL,
    PRIMARY KEY (org_id, round)
);
"""
RECIPES = """
[kind]
rows = 3
fixed = true
[kind.columns]
code = { values = ["bread", "milk", "tea"] }

[item]
rows = 400
[item.columns]
is_default = "row = 7"

[bill]
rows = 500
[bill.columns]
number = "'B' || row"
made_at = { time = "any", order = "row" }

[line]
per = { parent = "bill_id", counts = [1, 3] }
[line.columns]
position = "ordinal"
billed_at = "bill_id.made_at"
price = "item_id.price"

[slot]
rows = 400

[total]
rows = 0
"""
THEN = """
[known]
rows = 0
"""
SETTLES = """
INSERT INTO shop.total
SELECT org_id, bill_id, sum(price), count(*) FROM shop.line
WHERE org_id = %(business_id)s GROUP BY org_id, bill_id;
SELECT pg_sleep(0.05);
"""
THEN_SETTLES = """-- rounds: 2
INSERT INTO shop.known
SELECT %(business_id)s, %(round)s, c.reltuples FROM pg_class AS c
WHERE c.oid = 'shop.total'::regclass;
"""
AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
TABLES = ("org", "kind", "item", "bill", "line", "slot", "total")
Copies = Callable[[], Target]


@pytest.fixture(scope="module")
def shop(settings: Settings) -> Settings:
    """Settings of the schema above."""
    tenancy = Tenancy(column="org_id", setting="shop.org", root_table="shop.org")
    return settings.model_copy(update={"tenancy": tenancy})


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> FillSettings:
    """A fill of three tenants, each of several cohorts."""
    recipes = tmp_path_factory.mktemp("recipes")
    (recipes / "shop").mkdir()
    (recipes / "shop" / "shop.toml").write_text(RECIPES)
    (recipes / "shop" / "shop.sql").write_text(SETTLES)
    (recipes / "shop" / "then.toml").write_text(THEN)
    (recipes / "shop" / "then.sql").write_text(THEN_SETTLES)
    return FillSettings(3, 1.0, 7, AS_OF, recipes_dir=recipes, cohort_rows=700)


@pytest.fixture(scope="module")
def empty(server: Target, settings: Settings) -> Iterator[Copies]:
    """Makes databases with the schema above and nothing in them."""
    with ExitStack() as made:
        original = made.enter_context(made_database(server, settings))
        with psycopg.connect(original.admin) as connection:
            roles.ensure(connection, settings.roles)
            connection.execute(SCHEMA)
            targets.record(connection, [], settings.roles.loader)
            for what in ("SCHEMA shop", "ALL TABLES IN SCHEMA shop"):
                connection.execute(f"GRANT ALL ON {what} TO {settings.roles.loader}".encode())
        template = name_of(original)
        yield lambda: made.enter_context(made_database(server, settings, template))


@pytest.fixture(scope="module")
def alone(empty: Copies, shop: Settings, wanted: FillSettings) -> tuple[Target, FillResult]:
    """What one process filled without an interruption."""
    target = empty()
    return target, fill(target, shop, wanted)


def _checksums(target: Target) -> dict[str, str]:
    """A hash of all rows by table, in the order of their text."""
    with psycopg.connect(target.admin) as connection:
        found = {}
        for table in TABLES:
            query = f"SELECT md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM shop.{table} AS t"
            row = connection.execute(query.encode()).fetchone()
            found[table] = row[0] if row else ""
        return found


def _value(target: Target, query: str) -> object:
    with psycopg.connect(target.admin) as connection:
        row = connection.execute(query.encode()).fetchone()
        return row[0] if row else None


def test_cohorts_are_one_table_in_the_end(alone: tuple[Target, FillResult]) -> None:
    target, result = alone
    assert result.unmet == ()
    rows = {table.table: table.rows for table in result.tables}
    assert rows["shop.item"] == 400 + 246 + 185, "shares of the cohorts are the total"
    assert rows["shop.kind"] == 9
    with psycopg.connect(target.admin) as connection:
        units = connection.execute("SELECT unit FROM harness.fill_unit WHERE unit LIKE '%item%'")
        assert len(units.fetchall()) >= 8
    assert _value(target, "SELECT count(*) FROM shop.item WHERE is_default") == 3
    assert rows["shop.slot"] < 3 * 240 + 1, "a tenant has 240 hours in ten days"


def test_any_number_of_workers_fills_the_same(
    alone: tuple[Target, FillResult], empty: Copies, shop: Settings, wanted: FillSettings
) -> None:
    target = empty()
    result = fill(target, shop, wanted, workers=3)
    assert _checksums(target) == _checksums(alone[0])
    assert [(t.table, t.rows) for t in result.tables] == [
        (t.table, t.rows) for t in alone[1].tables
    ]


def test_a_file_is_planned_by_what_those_before_it_left_of_every_tenant(
    alone: tuple[Target, FillResult],
) -> None:
    rows = _value(alone[0], "SELECT count(*) FROM shop.total")
    known = _value(alone[0], "SELECT array_agg(DISTINCT totals) FROM shop.known")
    assert known == [rows]


def test_a_file_of_two_rounds_settles_twice_for_every_tenant(
    alone: tuple[Target, FillResult],
) -> None:
    target, result = alone
    rounds = "SELECT array_agg(n) FROM (SELECT count(*) AS n FROM shop.known GROUP BY round) AS r"
    assert _value(target, rounds) == [3, 3]
    files = [settled.file for settled in result.settled]
    assert files == ["shop/shop.sql", "shop/then.sql 1/2", "shop/then.sql 2/2"]


def test_what_is_there_is_not_made_again(
    alone: tuple[Target, FillResult], shop: Settings, wanted: FillSettings
) -> None:
    target, first = alone
    before = _checksums(target)
    again = fill(target, shop, wanted)
    assert (again.rows, again.unmet) == (first.rows, ())
    assert _checksums(target) == before


def test_another_seed_gives_other_rows(
    alone: tuple[Target, FillResult], empty: Copies, shop: Settings, wanted: FillSettings
) -> None:
    target = empty()
    fill(target, shop, replace(wanted, seed=8))
    ours, theirs = _checksums(alone[0]), _checksums(target)
    assert {table for table in TABLES if ours[table] == theirs[table]} == set()


@pytest.mark.parametrize("seed", range(3))
def test_a_fill_whose_server_goes_away_goes_on_later(
    seed: int,
    alone: tuple[Target, FillResult],
    empty: Copies,
    shop: Settings,
    wanted: FillSettings,
) -> None:
    target, chance = empty(), random.Random(seed)
    share, delay = chance.uniform(0, 0.9), chance.uniform(0, 0.02)

    def lose(done: int, total: int, *_: object) -> None:
        if done == round(share * total):
            threading.Timer(delay, _end_connections, [target]).start()

    with pytest.raises(DatabaseError, match="the connection was lost"):
        fill(target, shop, wanted, on_progress=lose)
    assert fill(target, shop, wanted).unmet == ()
    assert _checksums(target) == _checksums(alone[0])


def _end_connections(target: Target) -> None:
    with psycopg.connect(target.admin) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


PROGRAM = """
import sys
from datetime import datetime, UTC
from pathlib import Path
from datagen import turn
from datagen.fill import fill
from datagen.plan import FillSettings
from harness.config import Tenancy, load
from harness.db import Target
from harness.errors import HarnessError

if __name__ == "__main__":
    *target, recipes = sys.argv[1:]
    tenancy = Tenancy(column="org_id", setting="shop.org", root_table="shop.org")
    settings = load().model_copy(update={"tenancy": tenancy})
    as_of = datetime(2026, 6, 1, tzinfo=UTC)
    wanted = FillSettings(3, 1.0, 7, as_of, Path(recipes), cohort_rows=700)
    try:
        told = lambda *done: print(*done, flush=True)
        fill(Target(*target), settings, wanted, on_progress=told, workers=2)
    except HarnessError as error:
        print(error, flush=True)
        sys.exit(error.exit_code)
"""


def test_a_fill_that_is_killed_goes_on_later(
    alone: tuple[Target, FillResult],
    empty: Copies,
    shop: Settings,
    wanted: FillSettings,
    tmp_path: Path,
) -> None:
    target, chance = empty(), random.Random(11)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), target.admin, target.app, target.loader]
    command.append(str(wanted.recipes_dir))

    with _underway(command, units=chance.randrange(1, 20)) as process:
        worker = chance.choice(psutil.Process(process.pid).children())
        worker.send_signal(signal.SIGKILL)
        told = process.communicate()[0].splitlines()[-1]
    assert "a worker of the fill was ended by signal 9; run the fill again" in told
    assert process.returncode == 3

    with _underway(command, units=chance.randrange(20, 30)) as process:
        process.kill()
    with _underway(command, units=chance.randrange(30, 40)) as process:
        process.send_signal(signal.SIGINT)
    assert fill(target, shop, wanted).unmet == ()
    assert _checksums(target) == _checksums(alone[0])


@contextmanager
def _underway(command: list[str], units: int) -> Iterator[subprocess.Popen[str]]:
    """A fill by several processes, when so many units are done."""
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        for _ in range(units):
            process.stdout.readline()
        yield process


def test_two_fills_at_once_do_not_get_in_each_others_way(
    empty: Copies, shop: Settings, wanted: FillSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "WAIT", "50ms")
    target = empty()
    with psycopg.connect(target.loader, autocommit=True) as other:
        turn.take(other)
        with pytest.raises(RefusedError, match="is underway; wait for its end"):
            fill(target, shop, wanted)
        assert _value(target, "SELECT count(*) FROM shop.org") == 0
