"""Filling: every table for every tenant, the same every time, and again after a kill."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from datagen import marking, tenants, volume
from datagen.audit import audit
from datagen.fill import fill
from datagen.plan import FillSettings, TablePlan, plan
from harness.catalog import live
from harness.config import Settings
from harness.db import Target
from harness.errors import RefusedError, UsageError
from harness.run import FillResult

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
SMALL = FillSettings(tenants=2, scale=0.005, seed=7, as_of=AS_OF)
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
WHOLE = FillSettings(tenants=2, scale=0.01, seed=7, as_of=NOON)
"""Nothing in a truth may depend on the fill's moment being a midnight."""


def _checksums(target: Target) -> dict[str, str | None]:
    """A hash of each table's rows, in the order of their text."""
    with psycopg.connect(target.admin) as connection:
        catalog = live.read(connection)
        return {
            str(table.name): connection.execute(
                sql.SQL(
                    "SELECT md5(string_agg(md5(row::text), '' ORDER BY row::text))"
                    " FROM {table} AS row"
                ).format(table=table.name.identifier)
            ).fetchone()[0]  # type: ignore[index]
            for table in catalog.tables.values()
            if table.partition_of is None
        }


@pytest.fixture(scope="module")
def whole_fill(
    deployed: Target,
    copies: Callable[[Target], AbstractContextManager[Target]],
    settings: Settings,
) -> Iterator[tuple[Target, FillResult]]:
    """A database that WHOLE filled, and what the fill said of it: it takes minutes."""
    with copies(deployed) as target:
        result = fill(target, settings, WHOLE)
        assert result.unmet == ()
        yield target, result


@pytest.fixture(scope="module")
def filled(whole_fill: tuple[Target, FillResult]) -> Target:
    """What WHOLE fills, for tests that leave it as it was."""
    return whole_fill[0]


@pytest.fixture
def empty(deployed: Target, copy_of: Callable[[Target], Target]) -> Target:
    return copy_of(deployed)


@pytest.fixture(scope="module")
def first_fill(
    platform: Target,
    copies: Callable[[Target], AbstractContextManager[Target]],
    settings: Settings,
) -> Iterator[tuple[Target, FillResult]]:
    """What SMALL fills of the schemas that every industry stands on, and what it said of it."""
    with copies(platform) as target:
        result = _fill(target, settings)
        assert result.unmet == ()
        yield target, result


@pytest.fixture(scope="module")
def platform_filled(first_fill: tuple[Target, FillResult]) -> Target:
    """What SMALL fills of those schemas, for tests that leave it as it was."""
    return first_fill[0]


@pytest.fixture
def platform_empty(platform: Target, copy_of: Callable[[Target], Target]) -> Target:
    return copy_of(platform)


def _fill(target: Target, settings: Settings, wanted: FillSettings = SMALL) -> FillResult:
    return fill(target, settings, wanted)


def test_every_table_has_rows_of_every_tenant(filled: Target) -> None:
    with psycopg.connect(filled.admin) as connection:
        tables = [t for t in live.read(connection).tables.values() if t.partition_of is None]
        assert len(tables) >= 900
        for table in tables:
            query = sql.SQL("SELECT count(DISTINCT business_id) FROM {}")
            found = connection.execute(query.format(table.name.identifier)).fetchone()
            assert found == (2,), table.name


def test_nothing_breaks_a_truth_of_what_was_filled(filled: Target, settings: Settings) -> None:
    found = audit(filled, settings, NOON)
    assert found.broken == ()
    assert found.checked >= 1000
    assert found.skipped == 0


def test_a_fill_tells_whose_its_rows_are_and_what_took_how_long(
    whole_fill: tuple[Target, FillResult],
) -> None:
    _, result = whole_fill
    assert sum(share.rows for share in result.shares) == result.rows
    assert [share.tenant for share in result.shares] == [str(t.id) for t in tenants.every(7, 2)]
    assert [share.industry for share in result.shares] == ["retail", "retail"]
    spent = {settled.file: settled.seconds for settled in result.settled}
    assert spent["rest/72_stock_ledger.sql"] > 0


def test_a_plan_tells_about_how_many_rows_a_fill_makes(
    whole_fill: tuple[Target, FillResult], settings: Settings
) -> None:
    filled, result = whole_fill
    with psycopg.connect(filled.admin) as connection:
        told = volume.total(plan(live.read(connection), settings, WHOLE))
    assert told == pytest.approx(result.rows, rel=0.1)


def test_free_texts_carry_the_canary_of_their_tenant(filled: Target, settings: Settings) -> None:
    tenant = tenants.make(7, 0)
    with psycopg.connect(filled.admin) as connection:
        carries = {
            table.name: _carries(connection, table, tenant)
            for table in plan(live.read(connection), settings, WHOLE).tables
        }
    written = {name for name, found in carries.items() if found is not None}
    without = {name for name in written if not carries[name]}
    assert len(written) > 200
    assert len(without) < 0.1 * len(written), sorted(map(str, without))


def _carries(
    connection: psycopg.Connection[Any], table: TablePlan, tenant: tenants.Tenant
) -> bool | None:
    """Whether a row of the tenant carries its canary; None where nobody wrote any free text."""
    free = [column.name for column in table.columns if marking.is_free(table, column)]
    if not free:
        return None
    query = sql.SQL(
        "SELECT bool_or(strpos(row::text, %s) > 0) FROM {} AS row"
        " WHERE business_id = %s AND num_nonnulls({}) > 0"
    ).format(table.name.identifier, sql.SQL(", ").join(map(sql.Identifier, free)))
    found = connection.execute(query, [tenant.canary, tenant.id]).fetchone()
    return found[0] if found else None


def test_the_same_seed_gives_the_same_rows_however_the_server_plans(
    filled: Target, empty: Target, settings: Settings
) -> None:
    with psycopg.connect(empty.admin, autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        for method in ("hashagg", "mergejoin", "bitmapscan", "memoize"):
            command = sql.SQL("ALTER DATABASE {} SET {} = off")
            connection.execute(command.format(name, sql.Identifier(f"enable_{method}")))
    _fill(empty, settings, WHOLE)
    assert _differing(filled, empty) == set()


def _differing(one: Target, other: Target) -> set[str]:
    """Tables that differ."""
    ours, theirs = _checksums(one), _checksums(other)
    return {name for name in ours if ours[name] != theirs[name]}


def test_a_second_fill_adds_nothing(
    first_fill: tuple[Target, FillResult],
    copy_of: Callable[[Target], Target],
    settings: Settings,
) -> None:
    platform_filled, first = first_fill
    again = copy_of(platform_filled)
    second = _fill(again, settings)
    assert (second.rows, second.unmet) == (first.rows, ())
    assert _checksums(again) == _checksums(platform_filled)


def test_another_fill_over_the_first_is_refused(
    platform_filled: Target, settings: Settings
) -> None:
    with pytest.raises(RefusedError, match="filled with other settings"):
        _fill(platform_filled, settings, FillSettings(2, 0.005, 8, AS_OF))


def test_a_fill_that_was_killed_goes_on_where_it_stopped(
    platform_filled: Target, platform_empty: Target, settings: Settings
) -> None:
    empty = platform_empty
    code = (
        "import sys; from datetime import datetime, UTC\n"
        "from harness.config import load; from harness.db import Target\n"
        "from datagen.fill import fill; from datagen.plan import FillSettings\n"
        "print('ready', flush=True)\n"
        "fill(Target(*sys.argv[1:]), load(),"
        " FillSettings(2, 0.005, 7, datetime(2026, 6, 1, tzinfo=UTC)))\n"
    )
    command = [sys.executable, "-c", code, empty.admin, empty.app, empty.loader]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout
        process.stdout.readline()
        time.sleep(1.2)
        process.kill()
    assert _fill(empty, settings).unmet == ()
    assert _differing(platform_filled, empty) == set()


def test_somebody_elses_database_is_not_filled(database: Target, settings: Settings) -> None:
    with psycopg.connect(database.admin) as connection:
        connection.execute("CREATE TABLE precious (id integer)")
    with pytest.raises(RefusedError, match="left alone"):
        _fill(database, settings)


def test_a_recipe_for_a_table_that_does_not_exist_is_refused(
    platform_empty: Target, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "system_core").mkdir()
    (tmp_path / "system_core" / "x.toml").write_text("[nothing]\nrows = 3\n")
    wanted = FillSettings(1, 0.005, 1, AS_OF, recipes_dir=tmp_path)
    with pytest.raises(UsageError, match=r"x\.toml: \[nothing\]: there is no table"):
        _fill(platform_empty, settings, wanted)


def test_truths_of_schemas_that_are_not_there_are_skipped(
    platform_filled: Target, settings: Settings
) -> None:
    found = audit(platform_filled, settings, AS_OF)
    assert found.broken == ()
    assert found.checked >= 80
    assert found.skipped > found.checked, "the industries are not there"
