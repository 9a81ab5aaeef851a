"""Which files the static check reads, and what it says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks import static
from harness.config import Settings
from harness.errors import SchemaError

FIRST = "CREATE SCHEMA s;\nCREATE TABLE s.a (business_id uuid NOT NULL);\n"
SECOND = "ALTER TABLE s.a ENABLE ROW LEVEL SECURITY;\nCREATE TABLE s.b (business_id uuid);\n"


@pytest.fixture
def schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A schema of two files in the working directory, loaded against the alphabet."""
    monkeypatch.chdir(tmp_path)
    directory = tmp_path / "my schema"
    (directory / "s").mkdir(parents=True)
    (directory / "s" / "2.sql").write_text(FIRST, encoding="utf-8")
    (directory / "s" / "1.sql").write_text(SECOND, encoding="utf-8")
    (directory / "order.txt").write_text("# order\ns/2.sql\ns/1.sql\n", encoding="utf-8")
    return directory


def places(paths: list[Path], settings: Settings, rule: str) -> list[str]:
    findings, _ = static.check(paths, settings)
    return [str(finding.location) for finding in findings if finding.rule == rule]


def of(schema: Path, settings: Settings) -> Settings:
    return settings.model_copy(update={"schema_dir": schema})


def test_a_directory_is_read_in_its_order(schema: Path, settings: Settings) -> None:
    assert places([], of(schema, settings), "SRC004") == []
    assert places([], of(schema, settings), "RLS002") == [
        "my schema/s/2.sql:2",
        "my schema/s/1.sql:2",
    ]


def test_without_an_order_it_is_the_alphabet(schema: Path, settings: Settings) -> None:
    (schema / "order.txt").unlink()
    assert places([schema], settings, "SRC004") == ["my schema/s/1.sql:1", "my schema/s/1.sql:2"]


def test_a_file_of_the_schema_is_read_with_the_others(schema: Path, settings: Settings) -> None:
    path = Path("my schema/s/1.sql")
    assert places([path], of(schema, settings), "SRC004") == []
    assert places([path], of(schema, settings), "RLS002") == ["my schema/s/1.sql:2"]


def test_a_file_that_the_order_does_not_name_is_read_last(schema: Path, settings: Settings) -> None:
    path = schema / "s" / "3.sql"
    path.write_text("CREATE TABLE s.c (business_id uuid REFERENCES s.b);", encoding="utf-8")
    found = places([path], of(schema, settings), "RLS001")
    assert found == ["my schema/s/3.sql:1"]
    assert places([path], of(schema, settings), "SRC004") == []


def test_a_file_from_elsewhere_stands_alone(schema: Path, settings: Settings) -> None:
    assert places([schema / "s/1.sql"], settings, "SRC004") == [
        "my schema/s/1.sql:2",
    ]


def test_findings_come_in_the_order_of_the_files(schema: Path, settings: Settings) -> None:
    findings, catalog = static.check([schema], settings)
    places = [(f.location.file[-5:], f.location.line) for f in findings if f.location]
    assert places == sorted(places, key=lambda place: (place[0] != "2.sql", place[1]))
    assert [str(name) for name in catalog.tables] == ["s.a", "s.b"]


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["missing", "not UTF-8"])
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, settings: Settings, content: bytes | None
) -> None:
    path = tmp_path / "x.sql"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SchemaError, match=r"x\.sql: "):
        static.check([path], settings)


def test_another_tenancy_is_checked_as_well(settings: Settings) -> None:
    tenancy = settings.tenancy.model_copy(
        update={
            "column": "org_id",
            "type": "bigint",
            "setting": "app.org",
            "root_table": "public.org",
            "current_tenant": "current_setting('app.org')::bigint",
        }
    )
    text = """
        CREATE TABLE public.org (org_id bigint PRIMARY KEY);
        ALTER TABLE org ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
        CREATE POLICY p ON org USING (org_id = current_setting('app.org')::bigint);
        GRANT SELECT ON org TO app_user;
        COMMENT ON TABLE org IS 'A tenant.';
    """
    settings = settings.model_copy(update={"tenancy": tenancy})
    assert static.judge({"x.sql": text}, settings)[0] == []
    broken = static.judge({"x.sql": text.replace("'app.org')", "'app.user')")}, settings)[0]
    assert [finding.rule for finding in broken] == ["POL006"]
    assert "USING (org_id = current_setting('app.org')::bigint)" in broken[0].fix


def test_files_without_anything_in_them_are_no_proof(tmp_path: Path, settings: Settings) -> None:
    empty = tmp_path / "empty.sql"
    empty.write_text("\n \n", encoding="utf-8")
    with pytest.raises(SchemaError, match=r"empty\.sql: is empty"):
        static.check([empty], settings)
