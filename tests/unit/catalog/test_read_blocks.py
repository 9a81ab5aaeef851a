"""Given a block of PL/pgSQL, its statements are read as they would run."""

from __future__ import annotations

import pytest

from harness.catalog import files
from harness.catalog.model import Name, Table
from harness.catalog.source import Source
from harness.finding import Location

TABLES = (
    "CREATE TABLE a (tenant_id text, n int); CREATE TABLE b (tenant_id text); CREATE TABLE c ();"
)


def read(sql: str) -> Source:
    """What a file is read as whose first line makes the tables a, b and c."""
    return files.read({"f.sql": f"{TABLES}\n{sql}"})


def enabled(source: Source) -> set[str]:
    """The tables whose row security is enabled."""
    return {t.name.name for t in source.catalog.tables.values() if t.row_security}


def table(sql: str) -> Table:
    """Table a, as a file without problems leaves it."""
    source = read(sql)
    assert source.problems == ()
    return source.catalog.tables[Name("public", "a")]


@pytest.mark.parametrize(
    "loop",
    [
        "FOREACH t IN ARRAY ARRAY['a', 'b'] LOOP",
        "FOREACH t IN ARRAY '{a,b}'::text[] LOOP",
        "FOREACH t IN ARRAY tables LOOP",
        "FOR t IN SELECT unnest(ARRAY['a', 'b']) LOOP",
        "FOR t IN SELECT name FROM unnest(tables) AS name WHERE name <> 'c' LOOP",
        "FOR t IN VALUES ('a'), ('b') LOOP",
        "FOR t IN SELECT * FROM (VALUES ('a'), ('b')) AS v (name) LOOP",
        "FOR t IN SELECT tablename FROM pg_tables WHERE tablename NOT LIKE 'c%' LOOP",
        "FOR t IN SELECT c.table_name FROM information_schema.columns AS c"
        " JOIN information_schema.tables AS t USING_NOTHING WHERE c.column_name = 'tenant_id' LOOP",
        "FOR t IN SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind = 'r' AND n.nspname = 'public' AND c.relname = ANY (tables) LOOP",
    ],
)
def test_a_loop_over_what_is_known_runs_for_each(loop: str) -> None:
    loop = loop.replace("*", "name").replace("USING_NOTHING", "ON t.table_name = c.table_name")
    source = read(
        "DO $$ DECLARE t text; tables text[] := ARRAY['a'] || ARRAY['b']; BEGIN\n"
        f"{loop} EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t); END LOOP; END $$;"
    )
    assert source.problems == ()
    assert enabled(source) == {"a", "b"}


@pytest.mark.parametrize(
    "text",
    [
        "'ALTER TABLE ' || quote_ident(r) || ' ENABLE ROW LEVEL SECURITY'",
        "format('ALTER TABLE %1$I.%2$I ENABLE ROW LEVEL SECURITY', 'public', r)",
        "format('ALTER TABLE %s ENABLE %s', r::regclass, what)",
        "concat('ALTER TABLE ', replace('b', 'b', r), ' ENABLE ', upper(what))",
    ],
)
def test_execute_runs_the_text_that_constants_make(text: str) -> None:
    source = read(
        "DO $$ DECLARE r text := 'a'; what text; BEGIN\n"
        f"what := 'row level security'; EXECUTE {text}; END $$;"
    )
    assert source.problems == ()
    assert enabled(source) == {"a"}


def test_what_a_block_makes_stands_on_the_line_that_makes_it() -> None:
    (policy,) = table(
        "DO $$\nBEGIN\n  CREATE POLICY p ON a\n    USING (tenant_id = 'x');\nEND $$;"
    ).policies
    assert (policy.using, policy.location) == ("tenant_id = 'x'", Location("f.sql", 4))


@pytest.mark.parametrize(
    ("condition", "runs"),
    [
        ("NOT EXISTS (SELECT FROM pg_policies WHERE policyname = 'p' AND tablename = 'a')", True),
        ("EXISTS (SELECT 1 FROM pg_policies WHERE policyname = 'p')", False),
        ("to_regclass('public.a') IS NOT NULL", True),
        ("to_regclass('z') IS NOT NULL OR to_regclass('y') IS NOT NULL", False),
        (
            "EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'a'::regclass AND attname = 'n')",
            True,
        ),
        ("(SELECT relrowsecurity FROM pg_class WHERE oid = 'a'::regclass)", False),
    ],
)
def test_a_condition_on_what_exists_is_decided(condition: str, runs: bool) -> None:
    found = table(
        f"DO $$ BEGIN IF {condition} THEN ALTER TABLE a ENABLE ROW LEVEL SECURITY;"
        " ELSE ALTER TABLE a FORCE ROW LEVEL SECURITY; END IF; END $$;"
    )
    assert (found.row_security, found.force_row_security) == (runs, not runs)


def test_whether_a_role_exists_is_the_clusters_matter_so_both_branches_are_read() -> None:
    source = read(
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app') THEN\n"
        "CREATE ROLE app BYPASSRLS; ELSE ALTER ROLE app LOGIN; END IF; END $$;"
    )
    assert source.problems == ()
    assert (source.roles["app"].bypasses_row_security, source.roles["app"].login) == (True, True)


@pytest.mark.parametrize(
    "block",
    [
        "\nEXECUTE current_query();",
        "\nIF (SELECT count(*) FROM a) > 0 THEN ALTER TABLE a ENABLE ROW LEVEL SECURITY; END IF;",
        "\nFOR t IN SELECT n FROM a LOOP EXECUTE t; END LOOP;",
        "\nWHILE true LOOP DROP TABLE a; END LOOP;",
        "\nFOR t IN EXECUTE 'SELECT 1' LOOP DROP TABLE a; END LOOP;",
        "\nPERFORM unseen('a');",
        "t := now();\nEXECUTE t;",
        "SELECT n INTO t FROM a;\nEXECUTE t;",
    ],
)
def test_what_the_text_does_not_tell_is_named_with_its_line(block: str) -> None:
    (problem,) = read(f"DO $$ DECLARE t text; BEGIN {block} END $$;").problems
    assert (problem.kind, problem.location.line) == ("opaque", 3)


@pytest.mark.parametrize(
    "block",
    [
        "IF (SELECT count(*) FROM a) > 0 THEN RAISE EXCEPTION 'rows are there'; END IF;",
        "UPDATE a SET n = 1; DELETE FROM b; INSERT INTO a VALUES ('x', 1);",
        "FOR t IN SELECT n FROM a LOOP UPDATE a SET n = 2; END LOOP;",
        "PERFORM 1 FROM a; PERFORM set_config('x.y', '', true);",
    ],
)
def test_what_only_touches_data_is_no_problem(block: str) -> None:
    assert read(f"DO $$ DECLARE t text; BEGIN {block} END $$;").problems == ()


def test_what_fails_in_a_block_with_a_handler_leaves_nothing_behind() -> None:
    found = table(
        "DO $$ BEGIN BEGIN ALTER TABLE a ENABLE ROW LEVEL SECURITY; DROP POLICY p ON a;"
        " EXCEPTION WHEN undefined_object THEN ALTER TABLE a FORCE ROW LEVEL SECURITY; END; END $$;"
    )
    assert (found.row_security, found.force_row_security) == (False, True)


def test_nothing_runs_after_return() -> None:
    assert not table(
        "DO $$ BEGIN RETURN; ALTER TABLE a ENABLE ROW LEVEL SECURITY; END $$;"
    ).row_security


@pytest.mark.parametrize("call", ["SELECT protect('a', 'b')", "CALL protect('a', 'b')"])
def test_a_call_of_a_function_of_the_files_is_gone_through(call: str) -> None:
    kind, returns = ("PROCEDURE", "") if call.startswith("CALL") else ("FUNCTION", "RETURNS void")
    source = read(
        f"CREATE {kind} protect(first regclass, text) {returns} LANGUAGE plpgsql AS $$ BEGIN\n"
        "EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', first);\n"
        "EXECUTE format('CREATE POLICY p ON %I USING (true)', $2); END $$;\n"
        f"{call};"
    )
    assert source.problems == ()
    assert enabled(source) == {"a"}
    (policy,) = source.catalog.tables[Name("public", "b")].policies
    assert policy.location == Location("f.sql", 5)


def test_a_block_in_another_language_is_not_understood() -> None:
    (problem,) = read("DO LANGUAGE plpython3u $$ plpy.execute('DROP TABLE a') $$;").problems
    assert problem.message == "what plpython3u does cannot be read"
