"""What a file's statements are to a cluster: where tables can wait no longer."""

from __future__ import annotations

import pytest

from harness.deploy.script import Statement, statements, steps
from harness.deploy.source import SourceFile
from harness.errors import SchemaError


def _read(text: str) -> tuple[Statement, ...]:
    return statements(SourceFile("shop/00_item.sql", text))


def _beginnings(text: str) -> list[list[str]]:
    return [[s.text.split()[1] for s in step] for step in steps(_read(text))]


def test_every_statement_is_one_with_its_line() -> None:
    script = _read(
        "-- why\nCREATE SCHEMA s;\n\n\nCREATE FUNCTION s.f() RETURNS int LANGUAGE sql\n"
        "BEGIN ATOMIC\n    SELECT 1;\n    SELECT 2;\nEND;\nSELECT 'a;b';\n"
    )
    assert [s.line for s in script] == [2, 5, 10]
    assert script[0].text == "CREATE SCHEMA s"
    assert script[2].text == "SELECT 'a;b'"


def test_a_table_waits_for_what_belongs_to_it() -> None:
    dressed = """
        CREATE TABLE s.a (id uuid) PARTITION BY RANGE (id);
        COMMENT ON TABLE s.a IS 'a';
        CREATE INDEX ON s.a (id);
        ALTER TABLE s.a ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
        CREATE POLICY p ON s.a USING (true);
        GRANT SELECT ON s.a TO app_user;
        CREATE TABLE s.a_default PARTITION OF s.a DEFAULT;
        SELECT system_core.create_partitions('s.a', 'month', behind => 1, ahead => 1);
        CREATE FUNCTION s.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER t BEFORE UPDATE ON s.a FOR EACH ROW EXECUTE FUNCTION s.f();
    """
    assert len(steps(_read(dressed))) == 1


@pytest.mark.parametrize(
    "next_one",
    [
        "CREATE TABLE s.b (id uuid REFERENCES s.a)",
        "CREATE VIEW s.v AS SELECT * FROM s.a",
        "CREATE MATERIALIZED VIEW s.m AS SELECT * FROM s.a",
        "CREATE FUNCTION s.f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1 FROM s.a; END",
        "CREATE FUNCTION s.f() RETURNS s.a LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "ALTER TABLE s.z ADD FOREIGN KEY (id) REFERENCES s.a",
        "ALTER TABLE s.z ADD COLUMN a_id uuid REFERENCES s.a",
    ],
)
def test_a_table_is_distributed_before_something_may_stand_on_it(next_one: str) -> None:
    script = _read(f"CREATE TABLE s.a (id uuid PRIMARY KEY); CREATE INDEX ON s.a (id); {next_one};")
    assert [len(step) for step in steps(script)] == [2, 1]


def test_nothing_is_divided_where_no_table_waits() -> None:
    assert _beginnings(
        "CREATE SCHEMA s; CREATE VIEW s.v AS SELECT 1; CREATE VIEW s.w AS SELECT 2"
    ) == [["SCHEMA", "VIEW", "VIEW"]]


def test_a_circle_of_keys_is_closed_when_both_tables_are_distributed() -> None:
    circle = """
        CREATE TABLE s.a (id uuid PRIMARY KEY, b_id uuid);
        CREATE TABLE s.b (id uuid PRIMARY KEY, a_id uuid REFERENCES s.a);
        ALTER TABLE s.a ADD FOREIGN KEY (b_id) REFERENCES s.b;
    """
    assert _beginnings(circle) == [["TABLE"], ["TABLE"], ["TABLE"]]


def test_tables_of_a_block_are_expected() -> None:
    block = "DO $$ BEGIN EXECUTE 'CREATE TABLE s.a (id uuid)'; END $$; CREATE VIEW s.v AS SELECT 1;"
    assert [len(step) for step in steps(_read(block))] == [1, 1]


def test_a_file_that_cannot_be_read_is_told_with_its_line() -> None:
    with pytest.raises(SchemaError, match=r"^shop/00_item\.sql:2: syntax error"):
        _read("SELECT 1;\nCREATE TABEL s.a ();")


def test_a_key_that_is_added_is_known_by_its_own_line() -> None:
    one, other = _read(
        "CREATE TABLE s.a (id uuid PRIMARY KEY);\n"
        "ALTER TABLE s.b\n    ADD FOREIGN KEY (a_id)\n    REFERENCES s.a (id);\n"
    )
    assert (one.told_at, other.line, other.told_at) == (1, 2, 3)
