"""The same schema read from its files and from the database it was deployed to is the same.

This is what the static check stands on: it judges what the files say, so they must be read as
PostgreSQL reads them, down to the names that it chooses.
"""

from __future__ import annotations

from typing import Any

import pytest

from checks import static
from checks.drift import drift
from harness.catalog import files, live_source
from harness.catalog.model import Catalog, Domain, Table
from harness.catalog.source import Source
from harness.config import Settings
from harness.db import Connection, Target, connect


@pytest.fixture(scope="module")
def sources(deployed: Target, settings: Settings) -> tuple[Source, Source]:
    """What the files hold and what the database does."""
    source = files.read(static.read_texts([settings.schema_dir]), settings.partition_functions)
    assert source.problems == ()
    with connect(deployed.admin) as connection:
        return source, live_source.read(connection)


@pytest.fixture(scope="module")
def both(sources: tuple[Source, Source]) -> tuple[Catalog, Catalog]:
    """The catalog of the files and the one of the database."""
    return sources[0].catalog, sources[1].catalog


def test_nothing_differs(sources: tuple[Source, Source], settings: Settings) -> None:
    assert drift(*sources, settings.roles.owner) == []


def test_comments_and_partitions_are_the_same(both: tuple[Catalog, Catalog]) -> None:
    def aspect(table: Table) -> Any:
        comments = {column.name: column.comment for column in table.columns.values()}
        return table.partition_by, table.partition_of, table.comment, comments

    written, deployed = both
    assert {str(name): aspect(table) for name, table in written.tables.items()} == {
        str(name): aspect(deployed.tables[name]) for name in written.tables
    }
    assert {str(v.name): v.comment for v in written.views.values()} == {
        str(v.name): v.comment for v in deployed.views.values()
    }
    assert {f.signature: f.comment for f in written.functions} == {
        f.signature: f.comment for f in deployed.functions
    }


DRIFTS = {
    "ALTER TABLE user_mgmt.user_account NO FORCE ROW LEVEL SECURITY": "row security of",
    "ALTER POLICY tenant_isolation ON user_mgmt.user_account USING (true)": "policies of",
    "GRANT TRUNCATE ON user_mgmt.user_account TO app_user": "grants of",
    "ALTER TABLE user_mgmt.user_account ADD nickname text": "columns of",
    "ALTER TABLE user_mgmt.user_account ADD CHECK (username <> 'root')": "constraints of",
    "CREATE INDEX ON user_mgmt.user_account (business_id, status, locale)": "indexes of",
    "DROP TRIGGER user_account_touch ON user_mgmt.user_account": "triggers of",
    "CREATE TABLE user_mgmt.forgotten (business_id uuid)": "in the database alone",
    "DROP TABLE system_core.tag CASCADE": "in the files alone",
    "ALTER FUNCTION tenant_mgmt.set_tenant(uuid) SECURITY DEFINER": "properties of",
    "GRANT CREATE ON SCHEMA user_mgmt TO app_user": "privileges on schema user_mgmt",
}


@pytest.mark.parametrize(("change", "told"), DRIFTS.items())
def test_a_change_of_the_database_is_told(
    admin: Connection, sources: tuple[Source, Source], settings: Settings, change: str, told: str
) -> None:
    admin.execute(change.encode())
    found = drift(sources[0], live_source.read(admin), settings.roles.owner)
    assert any(told in finding.message for finding in found)
    assert {finding.rule for finding in found} == {"SRC002"}


def test_domains_are_the_same(both: tuple[Catalog, Catalog]) -> None:
    def aspect(domain: Domain) -> Any:
        return domain.base_type, domain.not_null, len(domain.checks), domain.comment

    written, deployed = both
    assert {str(n): aspect(d) for n, d in written.domains.items()} == {
        str(n): aspect(d) for n, d in deployed.domains.items()
    }
