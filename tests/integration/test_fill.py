"""Filling: every table for every tenant, the same every time, and again after a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from datagen.audit import audit
from datagen.fill import fill
from datagen.plan import FillSettings
from harness.catalog import live
from harness.config import Settings
from harness.db import Target
from harness.errors import RefusedError, UsageError
from harness.run import FillResult

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
SMALL = FillSettings(tenants=2, scale=0.005, seed=7, as_of=AS_OF)
# What the database itself puts in, when the row is written.
WRITTEN_NOW = ("created_at", "updated_at")


def _checksums(target: Target) -> dict[str, str | None]:
    """A hash of each table's rows, in the order of their text, without what says when."""
    with psycopg.connect(target.admin) as connection:
        catalog = live.read(connection)
        return {
            str(table.name): connection.execute(
                sql.SQL(
                    "SELECT md5(string_agg(md5(row::text), '' ORDER BY row::text))"
                    " FROM (SELECT {columns} FROM {table}) AS row"
                ).format(
                    columns=sql.SQL(", ").join(
                        sql.Identifier(c) for c in table.columns if c not in WRITTEN_NOW
                    ),
                    table=table.name.identifier,
                )
            ).fetchone()[0]  # type: ignore[index]
            for table in catalog.tables.values()
            if table.partition_of is None
        }


@pytest.fixture(scope="module")
def first_fill(
    deployed: Target,
    copies: Callable[[Target], AbstractContextManager[Target]],
    settings: Settings,
) -> Iterator[tuple[Target, FillResult]]:
    """A database that SMALL filled, and what the fill said of it."""
    with copies(deployed) as target:
        result = _fill(target, settings)
        assert result.unmet == ()
        yield target, result


@pytest.fixture(scope="module")
def filled(first_fill: tuple[Target, FillResult]) -> Target:
    """What SMALL fills, for tests that leave it as it was."""
    return first_fill[0]


@pytest.fixture
def empty(deployed: Target, copy_of: Callable[[Target], Target]) -> Target:
    return copy_of(deployed)


@pytest.fixture(scope="module")
def platform_filled(
    platform: Target,
    copies: Callable[[Target], AbstractContextManager[Target]],
    settings: Settings,
) -> Iterator[Target]:
    """What SMALL fills of the schemas that every industry stands on."""
    with copies(platform) as target:
        assert _fill(target, settings).unmet == ()
        yield target


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


def test_the_same_seed_gives_the_same_rows_however_the_server_plans(
    filled: Target, empty: Target, settings: Settings
) -> None:
    with psycopg.connect(empty.admin, autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        for method in ("hashagg", "mergejoin", "bitmapscan", "memoize"):
            command = sql.SQL("ALTER DATABASE {} SET {} = off")
            connection.execute(command.format(name, sql.Identifier(f"enable_{method}")))
    _fill(empty, settings)
    assert _differing(filled, empty) == set()


def _differing(one: Target, other: Target) -> set[str]:
    """Tables that differ, of those whose rows are all loaded or derived."""
    ours, theirs = _checksums(one), _checksums(other)
    return {name for name in ours if ours[name] != theirs[name]} - TRIGGERED


TRIGGERED = {
    # updated by statement triggers with the time of the load
    "system_core.notification_endpoint",
    "system_core.notification_suppression",
    "system_core.file_object",
    "system_core.tag",
    "tenant_mgmt.usage_period",
    "tenant_mgmt.usage_alert",
    # rows that functions and triggers add have keys of the moment
    "observability.check_definition",
    "observability.finding",
    "security_mgmt.audit_chain_head",
    "security_mgmt.audit_checkpoint",
    "security_mgmt.evidence_hold",
    "user_analytics.behavior_baseline",
    "user_rbac.role_hierarchy",
    "hs.job_split",
    # agreements are sold, billed and earned by their own functions, payments and invoices with them
    "hs.agreement_billing",
    "hs.agreement_visit",
    "hs.deferred_revenue_entry",
    "hs.invoice",
    "hs.invoice_line",
    "hs.payment",
    "hs.payment_allocation",
}


def test_another_seed_gives_other_rows(
    platform_filled: Target, platform_empty: Target, settings: Settings
) -> None:
    _fill(platform_empty, settings, FillSettings(2, 0.005, 8, AS_OF))
    ours, theirs = _checksums(platform_filled), _checksums(platform_empty)
    assert ours["user_mgmt.user_account"] != theirs["user_mgmt.user_account"]


def test_a_second_fill_adds_nothing(
    first_fill: tuple[Target, FillResult],
    copy_of: Callable[[Target], Target],
    settings: Settings,
) -> None:
    filled, first = first_fill
    again = copy_of(filled)
    second = _fill(again, settings)
    assert (second.rows, second.unmet) == (first.rows, ())
    assert _checksums(again) == _checksums(filled)


def test_another_fill_over_the_first_is_refused(filled: Target, settings: Settings) -> None:
    with pytest.raises(RefusedError, match="filled with other settings"):
        _fill(filled, settings, FillSettings(2, 0.005, 8, AS_OF))


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT], ids=["kill", "interrupt"])
@pytest.mark.parametrize("after", [0.4, 1.2])
def test_a_fill_that_was_ended_goes_on_where_it_stopped(
    platform_filled: Target,
    platform_empty: Target,
    settings: Settings,
    end: signal.Signals,
    after: float,
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
        time.sleep(after)
        process.send_signal(end)
    assert _fill(empty, settings).unmet == ()
    assert _differing(platform_filled, empty) == set()


def test_somebody_elses_database_is_not_filled(database: Target, settings: Settings) -> None:
    with psycopg.connect(database.admin) as connection:
        connection.execute("CREATE TABLE precious (id integer)")
    with pytest.raises(RefusedError, match="left alone"):
        _fill(database, settings)


def test_a_table_that_cannot_be_filled_is_told_in_one_line(
    platform_empty: Target, settings: Settings
) -> None:
    with psycopg.connect(platform_empty.admin) as connection:
        connection.execute(
            "ALTER TABLE system_core.tag_group ADD CONSTRAINT never CHECK (length(code) > 900)"
        )
    result = _fill(platform_empty, settings)
    (line,) = [line for line in result.unmet if line.startswith("system_core.tag_group:")]
    assert "no row satisfies never; give it a recipe" in line
    assert "system_core.tag: system_core.tag_group has no rows to refer to" in result.unmet
    filled = {table.table for table in result.tables if table.rows}
    assert "tenant_mgmt.invoice" in filled, "the others are filled all the same"


def test_a_recipe_for_a_table_that_does_not_exist_is_refused(
    platform_empty: Target, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "system_core").mkdir()
    (tmp_path / "system_core" / "x.toml").write_text("[nothing]\nrows = 3\n")
    wanted = FillSettings(1, 0.005, 1, AS_OF, recipes_dir=tmp_path)
    with pytest.raises(UsageError, match=r"x\.toml: \[nothing\]: there is no table"):
        _fill(platform_empty, settings, wanted)


def test_nothing_breaks_a_truth_of_what_was_filled(
    platform_filled: Target, settings: Settings
) -> None:
    found = audit(platform_filled, settings, AS_OF)
    assert found.broken == ()
    assert found.checked >= 80
    assert found.skipped > found.checked, "the industries are not there"
