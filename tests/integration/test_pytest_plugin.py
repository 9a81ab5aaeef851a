"""The pytest plugin in a suite of somebody else's: sound passes, a hole fails and is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from checks import pytest_plugin
from harness.config import Settings
from harness.db import Target, connect
from harness.deploy import roles
from tests.integration.spares import database as made_database

A, B = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"
CONFIG = """
[tenancy]
column = "org_id"
setting = "app.org_id"
root_table = "crm.org"
current_tenant = "nullif(current_setting('app.org_id', true), '')::uuid"
set_tenant = "SELECT set_config('app.org_id', %s::text, true)"
"""
SOUND = """
CREATE SCHEMA crm;
GRANT USAGE ON SCHEMA crm TO app_user;
CREATE TABLE crm.org (org_id uuid PRIMARY KEY);
CREATE TABLE crm.contact (
    org_id uuid NOT NULL REFERENCES crm.org (org_id),
    email  text NOT NULL,
    PRIMARY KEY (org_id, email)
);
ALTER TABLE crm.org ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE crm.contact ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON crm.org
    USING (org_id = nullif(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY own ON crm.contact
    USING (org_id = nullif(current_setting('app.org_id', true), '')::uuid);
GRANT SELECT ON crm.org, crm.contact TO app_user;
"""
HOLES = """
CREATE VIEW crm.address AS SELECT email FROM crm.contact;
CREATE TABLE crm.note AS SELECT org_id FROM crm.org;
GRANT SELECT ON crm.address, crm.note TO app_user;
"""
ROWS = f"""
INSERT INTO crm.org VALUES ('{A}'), ('{B}');
INSERT INTO crm.contact SELECT org_id, 'who@' || right(org_id::text, 1) FROM crm.org;
INSERT INTO crm.note SELECT org_id FROM crm.org;
"""
SUITE = """
import psycopg
import pytest

def test_a_sound_table(assert_isolated):
    assert_isolated("crm.contact")

def test_a_query_with_the_tenant(assert_isolated):
    assert_isolated("SELECT org_id FROM crm.contact WHERE email LIKE %s", ["who%"])

def test_a_query_with_a_canary(assert_isolated):
    assert_isolated("SELECT email FROM crm.contact", canary=["who@b"])

def test_sound_files(assert_no_findings):
    assert_no_findings("sound.sql")
    assert_no_findings("sound.sql", "hole.sql", ignore=["PRV001"])

def test_a_table_without_row_security(assert_isolated):
    assert_isolated("crm.note")

def test_a_view_of_its_owner(assert_isolated):
    assert_isolated("SELECT email FROM crm.address", canary=["who@b"])

def test_rows_of_one_tenant_alone(assert_isolated):
    assert_isolated("SELECT org_id FROM crm.contact WHERE email = %s", ["who@a"])

def test_a_table_that_is_not_there(assert_isolated):
    assert_isolated("crm.nowhere")

def test_files_with_a_hole(assert_no_findings):
    assert_no_findings("sound.sql", "hole.sql")

class TestOwnConnection:
    @pytest.fixture
    def isolation_connection(self, isolation_target):
        with psycopg.connect(isolation_target.admin) as connection:
            yield connection

    def test_above_row_security(self, assert_isolated):
        assert_isolated("crm.contact")
"""
TOLD = [
    "crm.note is not isolated:",
    "*a session without a tenant sees 2 rows",
    f"*tenant A ({A}) sees 1 row of others: org_id {B}",
    "*tenant A sees the canary who@b of tenant B",
    f"*vacuous: tenant B ({B}) sees no row of its own; give both tenants rows",
    '*tenant A could not run it: relation "crm.nowhere" does not exist*',
    "*PRV001*",
    "* is above row security: nothing can be proven",
]
Run = Callable[..., pytest.RunResult]


@pytest.fixture(scope="module")
def crm(server: Target, settings: Settings) -> Iterator[Target]:
    """A small schema with two tenants, and holes in it."""
    with connect(server.admin, autocommit=True) as connection:
        roles.ensure(connection, settings.roles)
    with made_database(server, settings) as target:
        with psycopg.connect(target.admin) as connection:
            for text in (SOUND, HOLES, ROWS):
                connection.execute(text.encode())
        yield target


@pytest.fixture
def run(crm: Target, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a suite that uses the plugin, and no other one that is installed."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makefile(".toml", harness=CONFIG)
    pytester.makefile(".sql", sound=SOUND, hole="GRANT TRUNCATE ON crm.contact TO app_user;")
    pytester.makeconftest(f'pytest_plugins = ["{pytest_plugin.__name__}"]')
    return lambda *arguments: pytester.runpytest_inprocess(
        "--harness-dsn", crm.admin, "-p", "no:cacheprovider", *arguments
    )


def test_sound_passes_and_every_hole_fails_with_its_reason(
    run: Run, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(SUITE)
    result = run()
    result.assert_outcomes(passed=4, failed=6)
    result.stdout.fnmatch_lines(TOLD)


def test_tenants_come_from_ini_options(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "def test(tenant_a, tenant_b):\n    assert (tenant_a, tenant_b) == ('1', '2')"
    )
    run("-o", "harness_tenant_a=1", "-o", "harness_tenant_b=2").assert_outcomes(passed=1)


def test_a_bad_setting_is_one_line(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test(isolation_settings):\n    pass")
    result = run("--harness-config", "nowhere.toml")
    result.stdout.fnmatch_lines(["*nowhere.toml: cannot be read as TOML*"])
