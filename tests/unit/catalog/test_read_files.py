"""Given this SQL, that is what the reader takes from it."""

from __future__ import annotations

import pytest

from harness.catalog import files
from harness.catalog.files.expressions import canonical
from harness.catalog.model import Name, Table
from harness.finding import Location

POLICY = "CREATE TABLE s.t (a integer);\nCREATE POLICY p ON s.t "


def read(sql: str) -> files.Source:
    """What a file is read as, from its second line on: a schema comes first."""
    return files.read({"f.sql": f"CREATE SCHEMA s;\n{sql}"}, ["s.make_partitions"])


def table(sql: str, name: str = "t") -> Table:
    """The table that a file without problems leaves behind."""
    source = read(sql)
    assert source.problems == ()
    return source.catalog.tables[Name("s", name)]


@pytest.mark.parametrize(
    ("written", "spelled"),
    [
        ("int", "integer"),
        ("int8", "bigint"),
        ("timestamptz", "timestamp with time zone"),
        ("timestamp(3) with time zone", "timestamp(3) with time zone"),
        ("timestamp", "timestamp without time zone"),
        ("varchar(30)", "character varying(30)"),
        ("char", "character(1)"),
        ("numeric(14, 2)", "numeric(14,2)"),
        ("text[]", "text[]"),
        ("double precision", "double precision"),
        ("interval", "interval"),
    ],
)
def test_types_are_spelled_as_format_type_does(written: str, spelled: str) -> None:
    assert table(f"CREATE TABLE s.t (a {written});").columns["a"].type == spelled


@pytest.mark.parametrize(
    ("column", "default"),
    [
        ("text DEFAULT 'a, (b' NOT NULL", "'a, (b'"),
        ("text NOT NULL DEFAULT 'it''s; so' /* ) */", "'it''s; so' /* ) */"),
        ("text DEFAULT E'\\'),' CHECK (a <> ')')", "E'\\'),'"),
        ("integer[] DEFAULT ARRAY[1, 2]", "ARRAY[1, 2]"),
        ("uuid DEFAULT coalesce(NULL, gen_random_uuid())", "coalesce(NULL, gen_random_uuid())"),
        ("text DEFAULT $x$ , ) $x$", "$x$ , ) $x$"),
    ],
)
def test_a_default_ends_where_its_expression_ends(column: str, default: str) -> None:
    assert table(f"CREATE TABLE s.t (a {column}, b text);").columns["a"].default == default


def test_lines_count_characters_and_not_bytes() -> None:
    found = table("-- é — 表\nCREATE TABLE s.t (\n    a text, -- ü\n    b text UNIQUE\n);")
    assert found.location == Location("f.sql", 3)
    assert found.columns["b"].location == Location("f.sql", 5)
    assert found.constraints[0].location == Location("f.sql", 5)


def test_inline_constraints_are_constraints_of_the_table() -> None:
    found = table(
        "CREATE TABLE s.p (a uuid PRIMARY KEY);"
        "CREATE TABLE s.t (a uuid REFERENCES s.p ON DELETE CASCADE DEFERRABLE,"
        " b int CHECK (b > 0));"
    )
    assert [(c.name, c.kind, c.columns) for c in found.constraints] == [
        ("t_a_fkey", "foreign key", ("a",)),
        ("t_b_check", "check", ("b",)),
    ]
    key, check = found.constraints
    assert (key.references, key.referenced_columns) == (Name("s", "p"), ("a",))
    assert (key.on_delete, key.deferrable) == ("cascade", True)
    assert check.expression == "b > 0"


def test_a_primary_key_forbids_null() -> None:
    found = table("CREATE TABLE s.t (a uuid, b uuid); ALTER TABLE s.t ADD PRIMARY KEY (a);")
    assert (found.columns["a"].not_null, found.columns["b"].not_null) == (True, False)


def test_a_chosen_name_is_cut_to_63_bytes() -> None:
    long = "a" * 40
    found = table(f"CREATE TABLE s.t{long} ({long} int UNIQUE, b int UNIQUE);", f"t{long}")
    first, second = (constraint.name for constraint in found.constraints)
    assert (len(first), second) == (63, f"t{long}_b_key")


def test_an_exclusion_pairs_columns_with_operators() -> None:
    (found,) = table(
        "CREATE TABLE s.t (a int, b date, EXCLUDE USING gist (a WITH =, daterange(b, b) WITH &&));"
    ).constraints
    assert list(zip(found.columns, found.operators, strict=True)) == [
        ("a", "="),
        ("daterange(b, b)", "&&"),
    ]


def test_the_lines_above_an_index_say_what_it_serves() -> None:
    (index,) = table(
        "CREATE TABLE s.t (a int, b text);\n\n-- Serves the board,\n-- newest first.\n"
        "CREATE INDEX i ON s.t (a, lower(b) DESC) WHERE b > '0';"
    ).indexes
    assert index.comment == "Serves the board, newest first."
    assert index.columns == ("a", "lower(b)")
    assert index.predicate == "b > '0'"


def test_a_later_statement_counts() -> None:
    found = table(
        "CREATE TABLE s.t (a int);"
        "GRANT SELECT, INSERT, UPDATE (a) ON s.t TO x, y; REVOKE INSERT ON s.t FROM x;"
        "REVOKE ALL ON s.t FROM y; GRANT DELETE ON s.t TO x;"
    )
    assert {(g.role, g.privileges, g.columns) for g in found.grants} == {
        ("x", frozenset({"select", "delete"}), ()),
        ("x", frozenset({"update"}), ("a",)),
    }


def test_execute_is_granted_to_public_until_it_is_revoked() -> None:
    function = "CREATE FUNCTION s.f(a int) RETURNS int LANGUAGE sql RETURN a;"
    (granted,) = read(function).privileges
    assert (granted.role, granted.object) == ("public", "s.f(a integer)")
    assert read(f"{function} REVOKE ALL ON FUNCTION s.f(int) FROM PUBLIC;").privileges == ()


def test_a_partition_has_the_columns_of_its_parent() -> None:
    found = table(
        "CREATE TABLE s.p (a int, b date NOT NULL) PARTITION BY RANGE (b);"
        "CREATE TABLE s.t PARTITION OF s.p DEFAULT;"
        "SELECT s.make_partitions('s.p', 'month');"
    )
    assert (list(found.columns), found.partition_of) == (["a", "b"], Name("s", "p"))


@pytest.mark.parametrize(
    ("written", "using"),
    [
        ("USING (a = 1)", "a = 1"),
        ("/* USING (x) */ USING ( a =1 )", "a =1"),
        ("USING (a = 1 /* ) */ OR true)", "a = 1 /* ) */ OR true"),
        ("USING (a = 1 /* /* */ ) */ OR true)", "a = 1 OR TRUE"),
        ("USING ((a = 1) OR (true))", "(a = 1) OR (true)"),
    ],
)
def test_a_policy_is_the_text_of_its_tree(written: str, using: str) -> None:
    (policy,) = table(f"{POLICY}{written};").policies
    assert policy.using == using


def test_the_same_expression_has_one_spelling() -> None:
    assert canonical("( A  = s.f() )") == canonical("a=s.f( /* none */ )")
    assert canonical("a = s.f()") != canonical("a = s.f() OR true")
    assert canonical("a = s.f()") != canonical("a = s.g()")


def test_a_view_keeps_its_query_and_options() -> None:
    source = read(
        "CREATE VIEW s.v (one) WITH (security_barrier, security_invoker = on) AS SELECT 1 AS x\n"
        "WITH CASCADED CHECK OPTION;"
        "CREATE MATERIALIZED VIEW s.m AS SELECT 'AS' AS x WITH NO DATA;"
    )
    view, materialized = source.catalog.views.values()
    assert (view.query, materialized.query) == ("SELECT 1 AS x", "SELECT 'AS' AS x")
    assert view.options == {
        "security_barrier": "true",
        "security_invoker": "true",
        "check_option": "cascaded",
    }


def test_one_syntax_error_costs_one_statement() -> None:
    source = read(
        "CREATE TABLE s.a (x int;\n"
        "CREATE FUNCTION s.f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END;\n"
        "\\i more.sql\n"
        "CREATE TABLE s.b (x text DEFAULT ';');\n"
        "CREATE TABLE s.c (x int"
    )
    assert [(p.kind, p.location.line) for p in source.problems] == [
        ("opaque", 4),
        ("syntax", 2),
        ("syntax", 6),
    ]
    assert [str(name) for name in source.catalog.tables] == ["s.b"]
    assert source.catalog.tables[Name("s", "b")].location == Location("f.sql", 5)
    assert [function.signature for function in source.catalog.functions] == ["s.f()"]


def test_names_of_a_function_are_quoted_as_postgresql_quotes_them() -> None:
    source = read(
        "CREATE SCHEMA s;"
        'CREATE FUNCTION s.f("Kind" text, n integer) RETURNS TABLE ("position" text, rank bigint)'
        " LANGUAGE sql AS $$ SELECT 'front', 1::bigint $$;"
    )
    (function,) = source.catalog.functions
    assert function.signature == 's.f("Kind" text, n integer)'
    assert function.returns == 'TABLE("position" text, rank bigint)'


def test_a_problem_does_not_hide_its_table() -> None:
    source = read(
        "CREATE TABLE s.t (a x.missing, LIKE s.u, b int, FOREIGN KEY (b) REFERENCES s.v);"
    )
    assert [problem.object for problem in source.problems] == ["s.u", "s.v"]
    assert list(source.catalog.tables[Name("s", "t")].columns) == ["a", "b"]


def test_what_an_extension_brings_is_not_judged() -> None:
    source = read(
        "CREATE SCHEMA ext; CREATE EXTENSION citext WITH SCHEMA ext;"
        "CREATE TABLE s.t (a ext.citext DEFAULT ext.lower('x'));"
    )
    assert source.problems == ()


@pytest.mark.parametrize(
    "statement",
    [
        "COMMENT ON CONSTRAINT c ON s.t IS 'x';",
        "CREATE FUNCTION s.f() RETURNS int LANGUAGE sql SET TIME ZONE INTERVAL '1' HOUR RETURN 1;",
        "CREATE TABLE s.t (a int DEFERRABLE);",
        "GRANT SELECT ON LARGE OBJECT 1 TO x;",
        "COMMENT ON LANGUAGE plpgsql IS 'x';",
    ],
)
def test_an_unforeseen_form_is_a_problem_and_no_crash(statement: str) -> None:
    (problem,) = read(statement).problems
    assert problem.location.line == 2


def left(sql: str) -> list[str]:
    """The tables that statements leave behind, which must all be understood."""
    source = read(sql)
    assert source.problems == ()
    return [str(name) for name in source.catalog.tables]


def test_what_is_dropped_is_gone() -> None:
    assert left("CREATE TABLE s.a (x int); CREATE TABLE s.b (x int); DROP TABLE s.a;") == ["s.b"]
    assert left("DROP TABLE IF EXISTS s.a;") == []
    kept = table(
        "CREATE TABLE s.p (x int PRIMARY KEY);"
        "CREATE TABLE s.t (a int UNIQUE, b int REFERENCES s.p, c int CHECK (c > 0));"
        "CREATE INDEX i ON s.t (b, c);"
        "ALTER TABLE s.t DROP COLUMN c, DROP CONSTRAINT t_a_key;"
        "DROP TABLE s.p CASCADE;"
    )
    assert (list(kept.columns), kept.constraints, kept.indexes) == (["a", "b"], (), ())


def test_what_may_be_done_with_a_thing_goes_with_it() -> None:
    source = read(
        "CREATE SCHEMA r; GRANT USAGE ON SCHEMA r TO x; CREATE SEQUENCE r.a; CREATE SEQUENCE s.b;"
        "CREATE FUNCTION r.f() RETURNS int LANGUAGE sql RETURN 1;"
        "GRANT USAGE ON SEQUENCE r.a TO x; GRANT USAGE ON SEQUENCE s.b TO x;"
        "ALTER DEFAULT PRIVILEGES IN SCHEMA r GRANT SELECT ON TABLES TO x;"
        "ALTER SEQUENCE s.b RENAME TO c; DROP SCHEMA r CASCADE;"
        "CREATE SEQUENCE s.d; GRANT USAGE ON SEQUENCE s.d TO x; DROP SEQUENCE s.d;"
        "CREATE SCHEMA r; CREATE TABLE r.t (a int);"
    )
    assert source.problems == source.catalog.functions == ()
    assert [(p.kind, p.object, p.role) for p in source.privileges] == [("sequence", "s.c", "x")]
    assert source.catalog.tables[Name("r", "t")].grants == ()


def test_what_is_renamed_has_its_new_name() -> None:
    found = table(
        "CREATE TABLE s.old (a int PRIMARY KEY); CREATE TABLE s.u (a int REFERENCES s.old);"
        "ALTER TABLE s.old RENAME a TO id; ALTER TABLE s.old RENAME TO t;"
        "ALTER INDEX s.old_pkey RENAME TO t_pkey;"
    )
    assert (list(found.columns), found.constraints[0].columns) == (["id"], ("id",))
    assert found.name == Name("s", "t")


def test_a_column_is_what_it_was_altered_to() -> None:
    found = table(
        "CREATE TABLE s.t (a int DEFAULT 1, b text);"
        "ALTER TABLE s.t ALTER a DROP DEFAULT, ALTER a TYPE bigint, ALTER b SET DEFAULT 'x';"
    )
    assert [(c.type, c.default) for c in found.columns.values()] == [
        ("bigint", None),
        ("text", "'x'"),
    ]


def test_an_index_without_a_name_is_named_as_postgresql_does() -> None:
    found = table(
        "CREATE TABLE s.t (a int, b text);"
        "CREATE INDEX ON s.t (a, b); CREATE INDEX ON s.t (a, b); CREATE INDEX ON s.t (lower(b));"
        "CREATE INDEX ON s.t ((a + 1)); CREATE INDEX ON s.t (lower(b), lower(b), (b::varchar));"
    )
    assert [i.name for i in found.indexes] == [
        "t_a_b_idx",
        "t_a_b_idx1",
        "t_lower_idx",
        "t_expr_idx",
        "t_lower_lower1_b_idx",
    ]


def test_names_without_a_schema_are_in_the_search_path() -> None:
    assert left("SET search_path = s, public; CREATE TABLE a (x int);") == ["s.a"]
    assert left("CREATE TABLE a (x int);") == ["public.a"]


def test_a_dump_is_read() -> None:
    source = read(
        "\\restrict abc\n"
        "SET statement_timeout = 0;\n"
        "SELECT pg_catalog.set_config('search_path', '', false);\n"
        "CREATE TABLE s.t (a integer NOT NULL, b text);\n"
        "ALTER TABLE ONLY s.t ADD CONSTRAINT t_pkey PRIMARY KEY (a);\n"
        "COPY s.t (a, b) FROM stdin;\n"
        "1\tit's; (\n"
        "\\.\n"
        "CREATE INDEX t_b_idx ON s.t USING btree (b);\n"
        "\\unrestrict abc\n"
    )
    assert source.problems == ()
    found = source.catalog.tables[Name("s", "t")]
    assert found.indexes[0].location == Location("f.sql", 10)
    assert found.primary_key


@pytest.mark.parametrize(
    "written",
    [
        "GRANT SELECT ON s.t TO {{ reader }};",
        "GRANT SELECT ON s.t TO :reader;",
        'GRANT SELECT ON s.t TO :"reader";',
        "{% if grants %} GRANT SELECT ON s.t TO reader; {% endif %}",
        "GRANT SELECT ON s.t TO <%= reader %>;",
    ],
)
def test_a_placeholder_is_named_and_the_statement_is_read(written: str) -> None:
    source = read(f"CREATE TABLE s.t (a int[] DEFAULT '{{1}}'::int[], b text);\n{written}")
    assert {(p.kind, p.location.line) for p in source.problems} == {("template", 3)}
    (grant,) = source.catalog.tables[Name("s", "t")].grants
    assert "reader" in grant.role


def test_placeholders_inside_a_name_and_a_body_are_read_as_parts_of_it() -> None:
    source = read(
        "CREATE TABLE s.${kind}_t (a int);\n-- {{ nothing here }}, :nor_here\n"
        "DO $$ BEGIN\n  CREATE POLICY p ON s.${kind}_t TO {{app}} USING (a = 1); END $$;"
    )
    assert [(p.kind, p.location.line) for p in source.problems] == [
        ("template", 2),
        ("template", 5),
    ]
    (policy,) = source.catalog.tables[Name("s", "__kind__t")].policies
    assert policy.roles == ("__app__",)


def test_a_missing_semicolon_costs_no_statement() -> None:
    source = read("CREATE TABLE s.t (a int)\n\nALTER TABLE s.t ENABLE ROW LEVEL SECURITY;")
    assert [(p.kind, p.location.line) for p in source.problems] == [("syntax", 4)]
    assert source.catalog.tables[Name("s", "t")].row_security


def test_what_alter_makes_of_functions_counts() -> None:
    source = read(
        "CREATE FUNCTION s.f(a int) RETURNS int LANGUAGE sql SET search_path = s RETURN a;"
        "ALTER FUNCTION s.f SECURITY DEFINER STABLE SET search_path = pg_catalog, pg_temp;"
        "ALTER FUNCTION s.f(int) RENAME TO g; ALTER FUNCTION s.g OWNER TO boss;"
        "REVOKE EXECUTE ON FUNCTION s.g FROM PUBLIC;"
    )
    (function,) = source.catalog.functions
    assert source.problems == source.privileges == ()
    assert (function.signature, function.owner) == ("s.g(a integer)", "boss")
    assert (function.security_definer, function.volatility) == (True, "stable")
    assert function.settings == ("search_path=pg_catalog, pg_temp",)


def test_a_type_and_a_schema_of_another_name_are_those_of_the_columns() -> None:
    source = read(
        "CREATE TYPE s.kind AS ENUM ('a'); CREATE TABLE s.t (a s.kind, b s.kind[]);"
        "ALTER TYPE s.kind ADD VALUE 'b'; ALTER TYPE s.kind RENAME TO sort;"
        "CREATE SCHEMA r; CREATE TABLE s.u (t int PRIMARY KEY);"
        "ALTER TABLE s.t ADD c int REFERENCES s.u; ALTER TABLE s.u SET SCHEMA r;"
    )
    found = source.catalog.tables[Name("s", "t")]
    assert source.problems == ()
    assert source.catalog.enums == {Name("s", "sort"): ("a", "b")}
    assert [column.type for column in found.columns.values()][:2] == ["s.sort", "s.sort[]"]
    assert found.foreign_keys[0].references == Name("r", "u")


def test_a_publication_that_is_altered_sends_what_it_names_then() -> None:
    source = read(
        "CREATE TABLE s.t (a int); CREATE TABLE s.u (a int);"
        "CREATE PUBLICATION p FOR TABLE s.t; ALTER PUBLICATION p ADD TABLE s.u WHERE (a > 0);"
        "ALTER PUBLICATION p DROP TABLE s.t;"
    )
    assert [(p.table.name, p.filtered) for p in source.publications] == [("u", True)]


def test_statements_about_owners_of_other_objects_are_passed_over() -> None:
    source = read(
        "CREATE SEQUENCE s.q; ALTER SEQUENCE s.q OWNER TO x; CREATE TYPE s.c AS (a int);"
        "ALTER TYPE s.c OWNER TO x; ALTER SCHEMA s OWNER TO x;"
    )
    assert source.problems == ()


def test_later_objects_have_what_default_privileges_give() -> None:
    source = read(
        "CREATE TABLE s.before (a int);"
        "ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT, INSERT ON TABLES TO x;"
        "ALTER DEFAULT PRIVILEGES IN SCHEMA other GRANT SELECT ON TABLES TO y;"
        "ALTER DEFAULT PRIVILEGES IN SCHEMA s REVOKE INSERT ON TABLES FROM x;"
        "CREATE TABLE s.t (a int); CREATE VIEW s.v AS SELECT a FROM s.t;"
    )
    granted = {
        str(r.name): {(g.role, g.privileges) for g in r.grants}
        for r in (*source.catalog.tables.values(), *source.catalog.views.values())
    }
    only = {("x", frozenset({"select"}))}
    assert granted == {"s.before": set(), "s.t": only, "s.v": only}


@pytest.mark.parametrize(("where", "executes"), [("", set()), ("IN SCHEMA s", {"public"})])
def test_execute_of_everybody_is_taken_for_all_schemas_or_not_at_all(
    where: str, executes: set[str]
) -> None:
    source = read(
        f"ALTER DEFAULT PRIVILEGES {where} REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;"
        "CREATE FUNCTION s.f() RETURNS int LANGUAGE sql RETURN 1;"
    )
    assert {p.role for p in source.privileges if p.kind == "function"} == executes


def test_a_unique_beside_the_primary_key_is_the_same_key() -> None:
    found = table("CREATE TABLE s.t (a int UNIQUE, b int UNIQUE, PRIMARY KEY (a));")
    assert [(c.kind, c.columns) for c in found.constraints] == [
        ("unique", ("b",)),
        ("primary key", ("a",)),
    ]


def test_a_serial_column_is_a_number_of_a_sequence() -> None:
    source = read(
        "CREATE TABLE s.t (id bigserial PRIMARY KEY);GRANT USAGE ON ALL SEQUENCES IN SCHEMA s TO x;"
    )
    found = source.catalog.tables[Name("s", "t")].columns["id"]
    assert (found.type, found.not_null) == ("bigint", True)
    assert found.default == "nextval('s.t_id_seq'::regclass)"
    assert [(p.kind, p.object, p.role) for p in source.privileges] == [
        ("sequence", "s.t_id_seq", "x")
    ]


def test_names_are_spelled_as_postgresql_spells_them() -> None:
    source = files.read(
        {
            "f.sql": 'CREATE TYPE "Mood" AS ENUM (); CREATE TABLE t (a "Mood", b public."Mood"[],'
            " c public.citext); CREATE FUNCTION f(x varchar(9), y numeric(4, 2)) RETURNS varchar(3)"
            " LANGUAGE sql RETURN 1;"
        }
    )
    found = source.catalog.tables[Name("public", "t")]
    assert [c.type for c in found.columns.values()] == ['"Mood"', '"Mood"[]', "citext"]
    (function,) = source.catalog.functions
    assert function.signature == "public.f(x character varying, y numeric)"
    assert function.returns == "character varying"


def test_a_column_that_is_there_already_leaves_the_rest_of_the_statement() -> None:
    found = table(
        "CREATE TABLE s.t (a int);"
        "ALTER TABLE IF EXISTS ONLY s.t ADD COLUMN IF NOT EXISTS a text, ADD COLUMN b int;"
    )
    assert {c.name: c.type for c in found.columns.values()} == {"a": "integer", "b": "integer"}
