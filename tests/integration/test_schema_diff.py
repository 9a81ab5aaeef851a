"""harness schema diff: files against a database that somebody changed."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from harness.__main__ import main
from harness.db import Target

FILES = """CREATE SCHEMA shop;
CREATE TABLE shop.page (business_id uuid NOT NULL, page_id uuid NOT NULL PRIMARY KEY);
ALTER TABLE shop.page ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON shop.page USING (business_id = current_setting('app.tenant')::uuid);
GRANT SELECT ON shop.page TO PUBLIC;
CREATE SEQUENCE shop.ticket;
CREATE FUNCTION shop.now_at() RETURNS timestamptz LANGUAGE sql STABLE RETURN now();
ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT ALL ON SEQUENCES TO PUBLIC;
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "order.txt").write_text("shop.sql")
    (tmp_path / "shop.sql").write_text(FILES)
    (tmp_path / "harness.toml").write_text('schema_dir = "."')
    return tmp_path


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ("", 0, "HELD nothing found in 1 tables"),
        ("DROP POLICY own ON shop.page", 1, "shop.page"),
        ("GRANT DELETE ON shop.page TO PUBLIC", 1, "shop.page"),
        ("CREATE TABLE shop.secret (id integer)", 1, "shop.secret"),
        ("GRANT CREATE ON SCHEMA shop TO PUBLIC", 1, "privileges on schema shop"),
        ("GRANT UPDATE ON SEQUENCE shop.ticket TO PUBLIC", 1, "on sequence shop.ticket"),
        ("REVOKE ALL ON FUNCTION shop.now_at FROM PUBLIC", 1, "on function shop.now_at()"),
        ("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC", 1, "on every later table"),
    ],
    ids=["nothing", "policy", "grant", "table", "schema", "sequence", "function", "default"],
)
@pytest.mark.usefixtures("files")
def test_what_somebody_changed_is_told(
    database: Target, capsys: pytest.CaptureFixture[str], change: str, code: int, said: str
) -> None:
    with psycopg.connect(database.admin, autocommit=True) as connection:
        connection.execute(FILES.encode())
        if change:
            connection.execute(change.encode())
    assert main(["schema", "diff", "--dsn", database.admin]) == code
    assert said in capsys.readouterr().out
