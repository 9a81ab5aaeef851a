"""Allowances and baselines where files and a database are checked together."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from harness.__main__ import main
from harness.db import Target

SETTINGS = """schema_dir = "sql"
[tenancy]
column = "org_id"
root_table = "app.org"
setting = "app.org"
current_tenant = "nullif(current_setting('app.org', true), '')::uuid"
set_tenant = "SELECT set_config('app.org', %s::text, true)"
[checks]
ignore = ["CTX003", "DOC", "PRV", "SRC002", "isolation.insert"]
"""
PROTECTED = """ALTER TABLE app.{0} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON app.{0} USING (org_id = nullif(current_setting('app.org', true), '')::uuid);
GRANT SELECT ON app.{0} TO app_user;
"""
SCHEMA = (
    """CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO app_user;
CREATE TABLE app.org (org_id uuid PRIMARY KEY);
"""
    + PROTECTED.format("org")
    + """CREATE TABLE app.page (
    org_id uuid NOT NULL REFERENCES app.org,
    page_id uuid,
    slug text UNIQUE,
    PRIMARY KEY (org_id, page_id)
);
"""
    + PROTECTED.format("page")
    + "CREATE POLICY q ON app.page FOR SELECT USING ((slug || '') = 'imprint');\n"
)
SLUG = "    slug text UNIQUE,"
SLUG_ALLOWED = f'{SLUG} -- harness: allow ORA001 reason="part of the URL"'
IMPRINT = "CREATE POLICY q"
RULES = ["ORA001", "POL001", "POL004", "POL010", "POL011"]
RULES += [
    f"isolation.{probe}"
    for probe in ("copy", "left_over", "no_tenant", "prepared", "reset", "select")
]
IMPRINT_ALLOWED = f'-- harness: allow {", ".join(RULES[1:])} reason="public"\n{IMPRINT}'
ROWS = """INSERT INTO app.org VALUES ('00000000-0000-4000-8000-000000000001'),
    ('00000000-0000-4000-8000-000000000002');
INSERT INTO app.page SELECT org_id, org_id, CASE WHEN org_id::text LIKE '%2' THEN 'imprint' END
    FROM app.org"""
Found = list[tuple[str, str]]


@pytest.fixture
def check(
    database: Target,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, Found, Found]]:
    """Checks everything on a deployed and filled schema, for which the files may have changed:
    exit code, findings, what was held back."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "harness.toml").write_text(SETTINGS)
    (tmp_path / "sql").mkdir()
    file = tmp_path / "sql" / "app.sql"
    file.write_text(SCHEMA)
    assert main(["deploy", "--quiet", "--dsn", database.admin]) == 0
    with psycopg.connect(database.admin) as connection:
        connection.execute(ROWS)
    capsys.readouterr()

    def run(schema: str, *options: str, layer: str = "all") -> tuple[int, Found, Found]:
        file.write_text(schema)
        code = main(["check", layer, "--dsn", database.admin, "--format", "json", *options])
        document = json.loads(capsys.readouterr().out)
        found, held = (
            [(f["rule"], f["object"]) for f in document[part]]
            for part in ("findings", "suppressed")
        )
        return code, found, held

    return run


def test_what_files_allow_is_allowed_in_the_database(
    check: Callable[..., tuple[int, Found, Found]],
) -> None:
    code, found, held = check(SCHEMA)
    assert (code, sorted({rule for rule, _ in found})) == (1, RULES)
    allowed = SCHEMA.replace(SLUG, SLUG_ALLOWED).replace(IMPRINT, IMPRINT_ALLOWED)
    code, found, held = check(allowed)
    assert (code, found) == (0, [])
    assert sorted({rule for rule, _ in held}) == RULES


def test_a_baseline_of_everything_holds_back_everything(
    check: Callable[..., tuple[int, Found, Found]],
) -> None:
    code, found, held = check(SCHEMA, "--write-baseline", "known.json")
    assert (code, found) == (0, [])
    code, found, again = check("\n\n" + SCHEMA, "--baseline", "known.json")
    assert (code, found, again) == (0, [], held)


def test_a_database_alone_knows_what_its_comments_allow(
    check: Callable[..., tuple[int, Found, Found]], database: Target
) -> None:
    allow = 'Pages. harness: allow ORA001, POL001, POL004, POL010 reason="public" until=9999-12-31'
    with psycopg.connect(database.admin) as connection:
        connection.execute(f"COMMENT ON TABLE app.page IS '{allow}'".encode())
    code, found, held = check(SCHEMA, layer="catalog")
    assert (code, found) == (0, [])
    rules = ("ORA001", "POL001", "POL004", "POL010")
    assert held == [(rule, "app.page") for rule in rules]
