"""Deploying: once, in one transaction, into a database that may be deployed into."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
import pytest

from harness.catalog import live
from harness.config import Settings, load
from harness.db import Target, connect
from harness.deploy import target
from harness.deploy.deploy import deploy
from harness.errors import DatabaseError, RefusedError, SchemaError


@pytest.fixture
def schema_copy(tmp_path: Path, part: Settings) -> Path:
    return Path(shutil.copytree(part.schema_dir, tmp_path / "schema"))


def _spoil(schema: Path, file: str, old: str, new: str) -> Settings:
    path = schema / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return load({"schema_dir": schema})


def test_second_deploy_changes_nothing(database: Target, part: Settings) -> None:
    assert deploy(database, part).changed
    assert not deploy(database, part).changed


def test_every_table_is_deployed_with_row_security_forced(deployed: Target) -> None:
    with connect(deployed.admin) as connection:
        catalog = live.read(connection)
    assert len(catalog.tables) > 1
    for table in catalog.tables.values():
        assert table.row_security, table.name
        assert table.force_row_security, table.name
        assert len(table.policies) == 1, table.name


def test_everything_belongs_to_the_owner_role(deployed: Target, settings: Settings) -> None:
    with connect(deployed.admin) as connection:
        catalog = live.read(connection)
    owners = {t.owner for t in catalog.tables.values()} | {f.owner for f in catalog.functions}
    assert owners == {settings.roles.owner}
    materialized = [view for view in catalog.views.values() if view.materialized]
    assert {view.owner for view in materialized} <= {settings.roles.matview_owner}


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("GRANT SELECT ON user_mgmt", "GRANT SELEC ON user_mgmt", 65, "unrecognized privilege"),
        ("system_core.email  ", "system_core.emial  ", 14, 'type "system_core.emial"'),
        ("CREATE TRIGGER user_account_touch", "CREATE TRIGGERZ x", 67, "syntax error"),
    ],
    ids=["privilege", "type", "syntax"],
)
def test_an_sql_error_is_told_with_file_and_line(
    database: Target, schema_copy: Path, old: str, new: str, line: int, message: str
) -> None:
    spoiled = _spoil(schema_copy, "user_mgmt/00_account.sql", old, new)
    with pytest.raises(SchemaError, match=f"user_mgmt/00_account.sql:{line}: {message}"):
        deploy(database, spoiled)
    with connect(database.admin) as connection:
        assert live.read(connection).schemas == ("public",), "nothing is left of a failed deploy"


def test_another_version_is_refused(database: Target, schema_copy: Path, part: Settings) -> None:
    deploy(database, part)
    changed = _spoil(schema_copy, "user_mgmt/00_account.sql", "Accounts:", "Accounts, that is:")
    with pytest.raises(RefusedError, match=r"user_mgmt/00_account\.sql differ.*--recreate"):
        deploy(database, changed)


def test_somebody_elses_database_is_left_alone(database: Target, settings: Settings) -> None:
    with psycopg.connect(database.admin) as connection:
        connection.execute("CREATE TABLE precious (id integer)")
    with pytest.raises(RefusedError, match="left alone"):
        deploy(database, settings)


def test_the_owner_may_deploy_beside_what_is_there(database: Target, part: Settings) -> None:
    with psycopg.connect(database.admin) as connection:
        connection.execute("CREATE TABLE precious (id integer)")
        name = connection.info.dbname
    assert deploy(database, part, owned=name).changed
    with psycopg.connect(database.admin) as connection:
        assert connection.execute("SELECT count(*) FROM precious").fetchone() == (0,)


def test_a_file_that_the_order_forgot_is_told(database: Target, schema_copy: Path) -> None:
    (schema_copy / "user_mgmt" / "99_forgotten.sql").write_text("SELECT 1;")
    with pytest.raises(SchemaError, match=r"order\.txt: does not name user_mgmt/99_forgotten"):
        deploy(database, load({"schema_dir": schema_copy}))


def test_an_unreachable_server_is_a_database_error(settings: Settings) -> None:
    nowhere = "host=127.0.0.1 port=1 dbname=x connect_timeout=2"
    with pytest.raises(DatabaseError, match="cannot connect"):
        deploy(Target(nowhere, nowhere, nowhere), settings)


def test_an_empty_database_is_no_target_yet(database: Target) -> None:
    with (
        connect(database.admin) as connection,
        pytest.raises(RefusedError, match="is empty: run harness deploy first"),
    ):
        target.require(connection)
