"""Schemas that the harness has never seen are filled without a recipe.

Each case is a schema of its own, named after the case; all of them are filled at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import sql

from datagen import explain
from datagen.fill import fill
from datagen.plan import FillSettings
from harness.config import Settings, Tenancy
from harness.db import Target
from harness.errors import UsageError
from harness.run import FillResult
from tests.integration import spares

WANTED = FillSettings(tenants=2, scale=0.005, seed=7, as_of=datetime(2026, 6, 1, tzinfo=UTC))
TENANCY = Tenancy(column="org_id", type="bigint", root_table="own_root.org", setting="app.org")

FILLED = {
    "a_domain": """
        CREATE DOMAIN {s}.zip AS text CHECK (VALUE ~ '^[0-9]{{5}}(-[0-9]{{4}})?$');
        CREATE DOMAIN {s}.real_zip AS {s}.zip CHECK (VALUE <> '00000');
        CREATE DOMAIN {s}.code AS varchar(4) CHECK (VALUE = upper(VALUE) AND length(VALUE) >= 2);
        CREATE DOMAIN {s}.small AS integer NOT NULL CHECK (VALUE > 0 AND VALUE < 50);
        CREATE TABLE {s}.t (a {s}.zip NOT NULL, b {s}.real_zip NOT NULL, c {s}.code NOT NULL,
                            d {s}.small, e {s}.zip[] NOT NULL)""",
    "geometry": """
        CREATE TABLE {s}.t (a point NOT NULL, b box NOT NULL, c polygon NOT NULL, d line NOT NULL,
                            e circle NOT NULL, f lseg NOT NULL, g path NOT NULL)""",
    "rare_types": """
        CREATE TABLE {s}.t (a bit(3) NOT NULL, b bit varying(7) NOT NULL, c money NOT NULL,
            d xml NOT NULL, e tsvector NOT NULL, f cidr NOT NULL, g macaddr NOT NULL,
            h macaddr8 NOT NULL, i oid NOT NULL, j name NOT NULL, k "char" NOT NULL,
            l timestamp NOT NULL, m pg_lsn NOT NULL, n timetz NOT NULL, o xid NOT NULL,
            p jsonpath NOT NULL, q regclass NOT NULL, r tsquery NOT NULL, s json NOT NULL)""",
    "narrow_types": """
        CREATE TABLE {s}.t (a varchar(3) NOT NULL UNIQUE, b char(2) NOT NULL,
            c numeric(4,2) NOT NULL, d smallint NOT NULL,
            e numeric(2,2) NOT NULL, f numeric(30,0) NOT NULL)""",
    "extensions": """
        CREATE EXTENSION hstore SCHEMA {s}; CREATE EXTENSION citext SCHEMA {s};
        CREATE EXTENSION ltree SCHEMA {s};
        CREATE TABLE {s}.t (a {s}.hstore NOT NULL, b {s}.citext NOT NULL UNIQUE,
                            c {s}.ltree NOT NULL)""",
    "arrays": """
        CREATE TYPE {s}.mood AS ENUM ('sad', 'happy');
        CREATE TABLE {s}.t (a uuid[] NOT NULL, b integer[] NOT NULL, c timestamptz[] NOT NULL,
            d numeric(6,2)[] NOT NULL, e {s}.mood[] NOT NULL, f boolean[] NOT NULL,
            g jsonb[] NOT NULL, h bytea[] NOT NULL, i varchar(2)[] NOT NULL, j inet[] NOT NULL,
            k text[] NOT NULL CHECK (array_length(k, 1) = 2))""",
    "composites": """
        CREATE TYPE {s}.mood AS ENUM ('sad', 'happy');
        CREATE TYPE {s}.address AS (street text, "no" integer, zip varchar(5), mood {s}.mood);
        CREATE TABLE {s}.t (a {s}.address NOT NULL, b {s}.address[] NOT NULL)""",
    "ranges": """
        CREATE TYPE {s}.span AS RANGE (subtype = float8);
        CREATE TYPE {s}.ids AS RANGE (subtype = uuid);
        CREATE TYPE {s}.hosts AS RANGE (subtype = inet);
        CREATE TABLE {s}.t (a int4range NOT NULL, b tstzmultirange NOT NULL, c daterange NOT NULL,
            d nummultirange NOT NULL, e {s}.span NOT NULL, f {s}.span[] NOT NULL,
            g {s}.ids NOT NULL, h {s}.hosts NOT NULL, EXCLUDE USING gist (g WITH &&))""",
    "json_checks": """
        CREATE TABLE {s}.t (a jsonb NOT NULL CHECK (jsonb_typeof(a) = 'array'),
            b jsonb NOT NULL DEFAULT '{{}}' CHECK (jsonb_typeof(b) = 'object'))""",
    "one_of_many": """
        CREATE TABLE {s}.t (a int, b int, c int, d int, e text,
            CHECK (num_nonnulls(a, b, c, d) = 1),
                            CHECK ((a IS NULL) <> (e IS NULL)))""",
    "one_parent_of_many": """
        CREATE TABLE {s}.p (id int PRIMARY KEY); CREATE TABLE {s}.q (id int PRIMARY KEY);
        CREATE TABLE {s}.t (p int REFERENCES {s}.p, q int REFERENCES {s}.q,
                            CHECK (num_nonnulls(p, q) = 1))""",
    "computed_columns": """
        CREATE TABLE {s}.t (price numeric(8,2) NOT NULL, quantity int NOT NULL,
            total numeric(12,2) NOT NULL, CHECK (quantity BETWEEN 1 AND 9),
            CHECK (total = price * quantity),
            half numeric(12,2) GENERATED ALWAYS AS (price / 2) STORED CHECK (half < 400))""",
    "cases": """
        CREATE TABLE {s}.t (s text NOT NULL CHECK (CASE WHEN s LIKE 'A%' THEN length(s) = 5
                                                   ELSE length(s) BETWEEN 7 AND 8 END),
            lo int NOT NULL, hi int NOT NULL, CHECK (lo < hi AND hi - lo <= 10))""",
    "moments": """
        CREATE TABLE {s}.t (born date NOT NULL
            CHECK (born BETWEEN '1930-01-01' AND now() - interval '18 years'))""",
    "patterns": """
        CREATE TABLE {s}.t (
            name varchar(20) NOT NULL UNIQUE CHECK (name ~ '^[a-z][a-z0-9_]{{2,19}}$'),
            phone text NOT NULL CHECK (phone ~ '^\\+[1-9]\\d{{6,14}}$'),
            iban text NOT NULL CHECK (char_length(iban) = 22),
            color text NOT NULL CHECK (color ~* '^#[0-9a-f]{{6}}$'))""",
    "expression_indexes": """
        CREATE TABLE {s}.t (id serial PRIMARY KEY, email text NOT NULL, n int
                            UNIQUE NULLS NOT DISTINCT);
        CREATE UNIQUE INDEX ON {s}.t (lower(email))""",
    "its_own_parent": """
        CREATE TABLE {s}.t (id int PRIMARY KEY, parent int NOT NULL REFERENCES {s}.t,
                            boss int REFERENCES {s}.t)""",
    "keys_that_share_columns": """
        CREATE TABLE {s}.a (id int PRIMARY KEY); CREATE TABLE {s}.b (id int PRIMARY KEY);
        CREATE TABLE {s}.ab (a int REFERENCES {s}.a, b int REFERENCES {s}.b, PRIMARY KEY (a, b));
        CREATE TABLE {s}.t (a int NOT NULL REFERENCES {s}.a, b int NOT NULL, note text,
                            FOREIGN KEY (a, b) REFERENCES {s}.ab, PRIMARY KEY (a, b))""",
    "other_keys": """
        CREATE TABLE {s}.p (a int, b text, PRIMARY KEY (a, b), c text UNIQUE);
        CREATE TABLE {s}.t (a int, b text, FOREIGN KEY (a, b) REFERENCES {s}.p MATCH FULL,
                            c text REFERENCES {s}.p (c))""",
    "a_part_of_a_key_not_null": """
        CREATE TABLE {s}.p (a int, b int, PRIMARY KEY (a, b));
        CREATE TABLE {s}.t (a int NOT NULL, b int, FOREIGN KEY (a, b) REFERENCES {s}.p)""",
    "values_that_children_want": """
        CREATE TABLE {s}.p (kind text, id int, PRIMARY KEY (kind, id));
        CREATE TABLE {s}.t (kind text NOT NULL DEFAULT 'Grant' CHECK (kind = 'Grant'), id int,
                            FOREIGN KEY (kind, id) REFERENCES {s}.p)""",
    "bookings": """
        CREATE EXTENSION btree_gist SCHEMA {s};
        CREATE TABLE {s}.t (room int NOT NULL, during tstzrange NOT NULL,
                            EXCLUDE USING gist (room WITH =, during WITH &&))""",
    "partitions": """
        CREATE TABLE {s}.r (at timestamptz NOT NULL, v int) PARTITION BY RANGE (at);
        CREATE TABLE {s}.r1 PARTITION OF {s}.r FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
        CREATE TABLE {s}.l (region text NOT NULL, n int NOT NULL) PARTITION BY LIST (region);
        CREATE TABLE {s}.l1 PARTITION OF {s}.l FOR VALUES IN ('eu', 'us');
        CREATE TABLE {s}.l2 PARTITION OF {s}.l FOR VALUES IN ('asia') PARTITION BY RANGE (n);
        CREATE TABLE {s}.l21 PARTITION OF {s}.l2 FOR VALUES FROM (0) TO (10);
        CREATE TABLE {s}.h (id uuid PRIMARY KEY) PARTITION BY HASH (id);
        CREATE TABLE {s}.h0 PARTITION OF {s}.h FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE {s}.h1 PARTITION OF {s}.h FOR VALUES WITH (MODULUS 2, REMAINDER 1)""",
    "odd_names": """
        CREATE TABLE {s}."Order Line" ("Id" serial PRIMARY KEY, "select" text,
            "with.dot" text UNIQUE, "quo""te" int, gone int);
        ALTER TABLE {s}."Order Line" DROP COLUMN gone;
        CREATE TABLE {s}.{long} (id int PRIMARY KEY)""",
    "odd_tables": """
        CREATE TABLE {s}.keyless (a text, b int); CREATE UNLOGGED TABLE {s}.unlogged (a int);
        CREATE TABLE {s}.animal (id serial PRIMARY KEY);
        CREATE TABLE {s}.dog (breed text NOT NULL) INHERITS ({s}.animal)""",
    "search_path": """
        CREATE TABLE {s}.log (n int); CREATE TABLE {s}.t (id int PRIMARY KEY);
        CREATE FUNCTION {s}.note() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO log VALUES (1); RETURN NULL; END';
        CREATE TRIGGER t AFTER INSERT ON {s}.t FOR EACH ROW EXECUTE FUNCTION {s}.note()""",
    "made_by_triggers": """
        CREATE TABLE {s}.p (id int PRIMARY KEY);
        CREATE TABLE {s}.t (id int PRIMARY KEY REFERENCES {s}.p, n int DEFAULT 0);
        CREATE FUNCTION {s}.make() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO made_by_triggers.t VALUES (new.id); RETURN NULL; END';
        CREATE TRIGGER t AFTER INSERT ON {s}.p FOR EACH ROW EXECUTE FUNCTION {s}.make()""",
    "own_root": """
        CREATE TABLE {s}.plan (code text PRIMARY KEY);
        CREATE TABLE {s}.org (id bigint PRIMARY KEY, name text, plan text REFERENCES {s}.plan);
        CREATE TABLE {s}.member (org_id bigint NOT NULL REFERENCES {s}.org, id bigint,
                                 email text NOT NULL UNIQUE, PRIMARY KEY (org_id, id));
        CREATE TABLE {s}.badge (org_id bigint, member bigint, kind char(1) UNIQUE,
                                FOREIGN KEY (org_id, member) REFERENCES {s}.member);
        CREATE TABLE {s}.letter (id serial PRIMARY KEY, org bigint NOT NULL REFERENCES {s}.org)""",
    "held": """
        CREATE TABLE {s}.country (code char(2) PRIMARY KEY);
        INSERT INTO {s}.country VALUES ('DE'), ('FR');
        CREATE TABLE {s}.t (id serial PRIMARY KEY,
            country char(2) NOT NULL REFERENCES {s}.country)""",
}
TOLD = {
    "refused": (
        """CREATE TABLE {s}.t (id int);
        CREATE FUNCTION {s}.refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'no rows today'; END $$;
        CREATE TRIGGER t BEFORE INSERT ON {s}.t FOR EACH ROW EXECUTE FUNCTION {s}.refuse()""",
        "refused.t: no rows today; give it a recipe (--recipes)",
    ),
    "contradiction": (
        "CREATE TABLE {s}.t (n int NOT NULL, CONSTRAINT low CHECK (n < 3), CONSTRAINT high CHECK"
        " (n > 5))",
        "contradiction.t: no row satisfies low and high; give it a recipe (--recipes)",
    ),
    "no_parent": (
        """CREATE TABLE {s}.t (id int PRIMARY KEY, n int NOT NULL CHECK (n < 3 AND n > 5));
        CREATE TABLE {s}.u (t int NOT NULL REFERENCES {s}.t)""",
        "no_parent.u: no_parent.t has no rows to refer to",
    ),
    "no_partition": (
        "CREATE TABLE {s}.t (n int NOT NULL) PARTITION BY RANGE (n)",
        "no_partition.t: it is partitioned and has no partition; create one, or a DEFAULT one",
    ),
    "cycle": (
        """CREATE TABLE {s}.a (id int PRIMARY KEY, b int NOT NULL);
        CREATE TABLE {s}.b (id int PRIMARY KEY, a int NOT NULL REFERENCES {s}.a);
        ALTER TABLE {s}.a ADD FOREIGN KEY (b) REFERENCES {s}.b""",
        "cycle.a: its rows and those of cycle.b need each other first; let a column of one of the"
        " foreign keys be NULL",
    ),
}
FEWER = {
    "few_values": (
        "CREATE TABLE {s}.t (b boolean NOT NULL UNIQUE)",
        "few_values.t: 2 of 20 rows, for t_b_key",
    ),
    "a_function_judges": (
        """CREATE FUNCTION {s}.fits(i int) RETURNS boolean LANGUAGE sql AS 'SELECT i % 2 = 0';
        CREATE TABLE {s}.t (n int NOT NULL, CONSTRAINT even CHECK ({s}.fits(n)))""",
        'for new row for relation "t" violates check constraint "even"',
    ),
}
_LONG = "t" * 63


@pytest.fixture(scope="module")
def target(server: Target, settings: Settings) -> Iterator[Target]:
    with spares.database(server, settings) as made:
        with psycopg.connect(made.admin) as connection:
            for name, text in _schemas().items():
                schema = sql.Identifier(name).as_string(connection)
                ddl = text.format(s=schema, long=_LONG)
                connection.execute(f"CREATE SCHEMA {schema}; {ddl}".encode())
        yield made


@pytest.fixture(scope="module")
def own(settings: Settings) -> Settings:
    return settings.model_copy(update={"tenancy": TENANCY})


@pytest.fixture(scope="module")
def result(target: Target, own: Settings) -> FillResult:
    return fill(target, own, WANTED, spares.name_of(target))


@pytest.fixture(scope="module")
def connection(target: Target, result: FillResult) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(target.admin, autocommit=True) as made:
        yield made


def _schemas() -> dict[str, str]:
    return FILLED | {name: ddl for name, (ddl, _) in (TOLD | FEWER).items()}


@pytest.mark.parametrize("case", FILLED)
def test_every_table_has_rows(case: str, result: FillResult) -> None:
    rows = {t.table: t.rows for t in result.tables if t.table.startswith(f"{case}.")}
    assert rows
    assert [line for line in result.unmet if line.startswith(f"{case}.")] == []
    assert [table for table, count in rows.items() if not count] == []


@pytest.mark.parametrize("case", TOLD)
def test_what_cannot_be_filled_is_told_with_what_to_do(case: str, result: FillResult) -> None:
    assert TOLD[case][1] in result.unmet


@pytest.mark.parametrize("case", FEWER)
def test_fewer_rows_are_told(case: str, result: FillResult) -> None:
    (line,) = [line for line in result.fewer if line.startswith(f"{case}.")]
    assert FEWER[case][1] in line


def test_tables_without_the_tenant_column_belong_to_a_tenant_or_are_filled_once(
    connection: psycopg.Connection[Any],
) -> None:
    def count(query: bytes) -> int:
        row = connection.execute(query).fetchone()
        assert row
        return int(row[0])

    assert count(b"SELECT count(*) FROM own_root.org") == 2
    assert count(b"SELECT count(DISTINCT org_id) FROM own_root.member") == 2
    assert count(b"SELECT count(DISTINCT org) FROM own_root.letter") == 2
    assert count(b"SELECT count(*) FROM own_root.plan") == 20
    assert count(b"SELECT count(*) FROM held.country") == 2, "what was there is left as it is"


def test_the_next_row_of_the_application_is_no_duplicate(
    connection: psycopg.Connection[Any],
) -> None:
    connection.execute("INSERT INTO expression_indexes.t (email, n) VALUES ('new', -1)")
    connection.execute("INSERT INTO own_root.letter (org) SELECT id FROM own_root.org LIMIT 1")


def test_a_second_fill_adds_nothing(target: Target, own: Settings, result: FillResult) -> None:
    again = fill(target, own, WANTED, spares.name_of(target))
    assert again.rows == result.rows
    assert set(again.unmet) == set(result.unmet)


def test_the_plan_tells_each_table_in_a_line(
    target: Target, own: Settings, result: FillResult
) -> None:
    told = explain.text(explain.read(target, own, WANTED)).splitlines()
    (member,) = [line for line in told if " own_root.member " in line]
    assert "20 rows" in member
    assert "org_id" in member
    (judged,) = [line for line in told if " a_function_judges.t " in line]
    assert "0 checks and 1 of PostgreSQL alone" in judged
    assert len(told) >= len(result.tables)


def test_the_plan_tells_every_column_of_a_named_table(target: Target, own: Settings) -> None:
    told = explain.text(explain.read(target, own, WANTED), ["own_root.badge"])
    assert "refers to own_root.member (id) by member or not" in told
    assert 'unique: "kind", all tenants together' in told
    with pytest.raises(UsageError, match=r"there is no table public\.nothing"):
        explain.text(explain.read(target, own, WANTED), ["nothing"])


def test_a_database_without_tables_is_told(database: Target, settings: Settings) -> None:
    with pytest.raises(UsageError, match="no table to fill"):
        fill(database, settings, replace(WANTED, tenants=1), spares.name_of(database))
