"""Settings: options over environment over file, and wrong ones are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config import load, server_dsn
from harness.errors import UsageError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to work in, with nothing in the environment."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_defaults_use_the_embedded_server(project: Path) -> None:
    assert server_dsn(load()) is None


def test_options_win_over_environment_and_file(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "harness.toml").write_text('database = "of_file"\n')
    assert load().database == "of_file"
    monkeypatch.setenv("HARNESS_DATABASE", "of_environment")
    assert load().database == "of_environment"
    assert load({"database": "of_option"}).database == "of_option"


def test_a_schema_with_another_tenant_column_is_a_setting(project: Path) -> None:
    (project / "pyproject.toml").write_text(
        '[tool.harness.tenancy]\ncolumn = "org_id"\ntype = "bigint"\n'
    )
    tenancy = load().tenancy
    assert (tenancy.column, tenancy.type) == ("org_id", "bigint")
    assert tenancy.setting == "app.business_id", "what is not named keeps its default"


def test_the_nearest_file_upward_counts(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "harness.toml").write_text('database = "upper"\n')
    below = project / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert load().database == "upper"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("databse = 'x'", "setting databse"),
        ("[tenancy]\ncolumn = 3", r"setting tenancy\.column"),
        ("database = ", "cannot be read as TOML"),
    ],
)
def test_a_wrong_setting_is_named(project: Path, content: str, message: str) -> None:
    (project / "harness.toml").write_text(content)
    with pytest.raises(UsageError, match=message):
        load()


def test_database_url_and_libpq_variables_name_a_server(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOST", "db.example.com")
    assert server_dsn(load()) == ""
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:secret@h/d")
    assert server_dsn(load()) == "postgresql://u:secret@h/d"
    monkeypatch.setenv("HARNESS_DSN", "host=mine")
    assert server_dsn(load()) == "host=mine"


def test_a_password_does_not_show_in_settings(project: Path) -> None:
    assert "hunter2" not in repr(load({"dsn": "postgresql://u:hunter2@h/d"}))
