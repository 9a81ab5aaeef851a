"""harness drill backup on a server of the test's own: what survives, and what is found."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from harness.__main__ import main
from harness.config import Settings
from harness.db import Target, connect
from harness.deploy import target as targets
from harness.drill.requirements import look, summarized
from harness.drill_result import DrillResult
from harness.errors import UsageError
from harness.run import load
from harness.server.embedded import Embedded, embedded, running, stop
from tests.integration.small_schemas import SETTING

FAULTS = """
CREATE TABLE shop.link (org_id uuid NOT NULL, seq bigint, hash bytea, PRIMARY KEY (org_id, seq));
INSERT INTO shop.link SELECT org_id, n, sha256(n::text::bytea)
FROM (SELECT DISTINCT org_id FROM shop.item) AS o, generate_series(1, 9) AS n;
CREATE FUNCTION shop.verify_link_chain() RETURNS SETOF bigint LANGUAGE sql STABLE AS $$
    SELECT seq FROM shop.link
    WHERE org_id = nullif(current_setting('shop.org', true), '')::uuid
      AND hash <> sha256(seq::text::bytea)
$$;
-- Where the root table has the tenant in a column of another name, there are no tenants to ask for.
ALTER TABLE shop.org RENAME id TO org_id;
UPDATE shop.link SET hash = '' WHERE seq = 5 AND org_id = '{own}';
-- Whoever computes it anew when a dump is restored may not see all rows.
CREATE MATERIALIZED VIEW shop.named AS SELECT name FROM shop.item;
CREATE ROLE bound NOLOGIN IN ROLE app_user;
ALTER MATERIALIZED VIEW shop.named OWNER TO bound;
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """A server with a small database, which is a harness target, and two faults in it."""
    state = tmp_path_factory.mktemp("drill")
    server = embedded(Settings.model_construct(state_dir=None), checkout=state)
    with running(server), psycopg.connect(server.conninfo("postgres"), autocommit=True) as admin:
        for setting in ("fsync = off", "full_page_writes = off", "summarize_wal = on"):
            admin.execute(f"ALTER SYSTEM SET {setting}".encode())
        admin.execute("SELECT pg_reload_conf()")
        admin.execute("CREATE DATABASE shop")
        with psycopg.connect(server.conninfo("shop")) as connection:
            SETTING.create(connection)
            connection.execute(FAULTS.replace("{own}", SETTING.own).encode())
            targets.record(connection, [], "app_user")
        yield server
    stop(server)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings that say how the small database tells its tenants apart."""
    path = tmp_path / "harness.toml"
    given = SETTING.tenancy.model_dump(exclude_defaults=True)
    lines = (f"{name} = {json.dumps(value)}\n" for name, value in given.items())
    path.write_text("[tenancy]\n" + "".join(lines))
    return path


@pytest.fixture
def work_dir() -> Iterator[Path]:
    """Where the server's account may work, with a path short enough for a socket."""
    path = Path(tempfile.mkdtemp(prefix="drill-"))
    path.chmod(0o755)
    yield path
    assert list(path.iterdir()) == [], "a drill leaves nothing"
    shutil.rmtree(path)


def test_a_server_that_a_dsn_names_is_drilled(
    own: Embedded, work_dir: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = config.with_name("run.json")
    given = ["--dsn", own.conninfo("shop"), "--config", str(config), "--output", str(document)]
    places = ["--pg-bin", str(own.programs / "bin"), "--work-dir", str(work_dir)]
    assert main(["drill", "backup", *given, *places]) == 1
    told = capsys.readouterr().err
    assert "✗ original: hash chains: shop.verify_link_chain" in told
    assert "FAILED (3 findings)" in told
    result = load(document).drill
    assert result
    _survived(result)
    with psycopg.connect(own.conninfo("shop")) as connection:
        assert connection.execute("SELECT count(*) FROM harness.drill").fetchone() == (0,)
        assert connection.execute("SHOW summarize_wal").fetchone() == ("on",)


def _survived(result: DrillResult) -> None:
    lines = "\n".join(map(str, result.findings))
    told = {f"{finding.copy} {finding.kind}" for finding in result.findings}
    assert told == {"original hash chains", "dump restore", "dump materialized views"}
    assert "1 links are broken, as 5" in lines
    assert "query would be affected by row-level security policy" in lines
    assert "shop.named: was with rows, is not populated" in lines
    assert (result.compared["policies"], result.compared["hash chains"]) == (3, 2)
    assert result.rows > 30
    sizes = {step.name: step.size for step in result.steps}
    assert sizes["full backup"] > sizes["incremental"] > 0
    refused, partial, *_ = result.notes
    assert "row-level security policy" in refused
    assert "ends well with 1 of 2 rows of shop.org: silently partial" in partial


def test_who_row_security_binds_does_not_drill(
    own: Embedded, work_dir: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dsn = make_conninfo(own.conninfo("shop"), options="-c role=app_user")
    given = ["--dsn", dsn, "--config", str(config), "--work-dir", str(work_dir)]
    assert main(["drill", "backup", *given]) == 2
    told = capsys.readouterr().err
    assert "connect as a role with REPLICATION" in told
    assert "connect as a role with BYPASSRLS, for a dump by any other is refused" in told


def test_the_embedded_server_keeps_summaries_while_it_is_drilled(own: Embedded) -> None:
    conninfo = own.conninfo("shop")
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM RESET summarize_wal")
        connection.execute("SELECT pg_reload_conf()")
        assert _comes(connection, "off")
        with summarized(conninfo):
            assert _comes(connection, "on")
        assert _comes(connection, "off")


def _comes(connection: psycopg.Connection, wanted: str) -> bool:
    """Whether the session hears of a setting before long."""
    for _ in range(100):
        if connection.execute("SHOW summarize_wal").fetchone() == (wanted,):
            return True
        connection.execute("SELECT pg_sleep(0.05)")
    return False


def test_a_server_without_summaries_is_told_what_to_set(server: Target) -> None:
    with connect(server.admin) as connection, pytest.raises(UsageError, match="summarize_wal = on"):
        look(connection)
