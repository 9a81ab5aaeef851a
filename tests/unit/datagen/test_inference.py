"""What a fill infers from a schema, without a database."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import numpy as np
import pytest

from datagen import constraints, tenants, windows
from datagen.apart import belongs, code_of, number_of
from datagen.expression.sampling import sample
from datagen.fitting import fitted
from datagen.ownership import owned
from datagen.plan import FillSettings, plan
from datagen.pools import Pools
from datagen.request import Request
from datagen.values import objects, of
from harness.catalog.model import Catalog, Column, Constraint, Domain, Index, Name, Table
from harness.config import Settings, Tenancy
from harness.errors import UsageError

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
TENANT = tenants.make(1, 1)


def _table(name: str, columns: dict[str, str], *constraints: Constraint) -> Table:
    made = {key: Column(key, type, not_null=True) for key, type in columns.items()}
    return Table(Name("public", name), made, constraints)


def _check(text: str, name: str = "c") -> Constraint:
    return Constraint(name, "check", (), text)


def _key(*columns: str) -> Constraint:
    return Constraint("pkey", "primary key", columns)


def _reference(parent: str, own: str, other: str = "id") -> Constraint:
    name = Name("public", parent)
    return Constraint("fk", "foreign key", (own,), references=name, referenced_columns=(other,))


def _told(*checks: str) -> constraints.Told:
    table = _table(
        "t", {"a": "text", "b": "text", "n": "integer", "d": "date"}, *map(_check, checks)
    )
    found, _ = constraints.checks(table, Catalog(), frozenset())
    return constraints.told(found, {}, AS_OF)


def _request(rows: int = 5, across: int = 0, unique: bool = True) -> Request:
    rng = np.random.default_rng(1)
    return Request(np.arange(rows), rng, TENANT, Pools(1), AS_OF, unique=unique, across=across)


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[0-9]{5}(-[0-9]{4})?$",
        r"^[a-z][a-z0-9_]{2,19}$",
        r"^\+[1-9]\d{6,14}$",
        r"^(draft|sent)-[^x]{3}\.pdf$",
        r"^[A-Z]{2}[[:digit:]]+$",
        r"^\w+@\w+\.(com|org)$",
    ],
)
def test_a_text_is_made_for_a_pattern(pattern: str) -> None:
    random = Random(1)
    plain = pattern.replace("[[:digit:]]", "[0-9]")
    assert all(re.search(plain, sample(pattern, random)) for _ in range(50))


def test_checks_tell_what_a_column_may_hold() -> None:
    told = _told(
        "a IN ('x', 'y') AND n BETWEEN 3 AND 9",
        "length(b) <= 12 AND char_length(b) >= 4",
        "d >= '2020-01-01'::date AND d < now() - '1 year'::interval",
        "b ~ '^x' OR a = 'z'",
    )
    assert told.choices == {"a": ["x", "y"]}
    assert told.bounds["n"] == (3, 9)
    assert told.lengths["b"] == (4, 12)
    assert told.moments["d"].low == np.datetime64("2020-01-01")
    assert told.moments["d"].high == np.datetime64("2025-06-01")
    assert told.patterns == {}, "one of two is enough"
    assert "z" in told.constants["a"]


def test_a_check_that_calls_an_unknown_function_is_left_to_postgresql() -> None:
    table = _table("t", {"a": "text"}, _check("public.fits(a)", "fits"), _check("a <> ''", "some"))
    known, unknown = constraints.checks(table, Catalog(), frozenset())
    assert ([check.name for check in known], unknown) == (["some"], ("fits",))


def test_checks_of_domains_upon_domains_hold_for_their_columns() -> None:
    zip_code = Domain(Name("public", "zip"), "text", checks=("VALUE ~ '^[0-9]{5}$'",))
    real = Domain(Name("public", "real"), "public.zip", checks=("VALUE <> 'VALUE'",))
    catalog = Catalog(domains={zip_code.name: zip_code, real.name: real})
    found, _ = constraints.checks(_table("t", {"a": "public.real"}), catalog, frozenset())
    assert [check.expression.text for check in found] == [
        "\"a\" <> 'VALUE'",
        "\"a\" ~ '^[0-9]{5}$'",
    ]


def test_an_index_on_an_expression_is_unique_in_what_it_computes() -> None:
    table = Table(
        Name("public", "t"),
        {"Email": Column("Email", "text")},
        indexes=(Index("i", ('lower("Email")',), unique=True),),
    )
    (unique,) = constraints.uniques(table, None, frozenset())
    assert (unique.columns, unique.across) == (("Email",), True)


def test_whose_a_table_is_follows_from_its_references() -> None:
    tables = [
        _table("org", {"id": "uuid"}, _key("id")),
        _table("member", {"org_id": "uuid", "id": "uuid"}),
        _table("letter", {"member": "uuid"}, _reference("member", "member")),
        _table("country", {"code": "text"}),
        _table("town", {"country": "text"}, _reference("country", "country", "code")),
    ]
    tenancy = Tenancy(column="org_id", root_table="public.org")
    assert {name.name for name in owned(tables, tenancy)} == {"org", "member", "letter"}
    assert owned(tables, Tenancy(column="nothing", root_table="")) == frozenset()


def test_values_of_one_tenant_are_not_those_of_another() -> None:
    numbers = of(np.arange(30))
    mine = [belongs(numbers, tenants.make(1, ordinal), 3) for ordinal in range(3)]
    assert np.array_equal(np.sum(mine, axis=0), np.ones(30)), "each number is of one tenant"
    codes = of(objects([code_of(row, TENANT, 3) for row in range(50)]))
    assert belongs(codes, TENANT, 3).all()
    assert len({number_of(row, TENANT, 3) for row in range(50)}) == 50


@pytest.mark.parametrize(
    ("type_name", "most"), [("character varying(3)", 3), ("character(12)", 12)]
)
def test_distinct_texts_stay_distinct_when_they_are_cut(type_name: str, most: int) -> None:
    texts = of(objects(["the same long text"] * 200))
    made = fitted(texts, type_name, (None, None), _request(200, across=2))
    assert len(set(made.data)) == 200
    assert max(map(len, made.data)) <= most
    assert belongs(made, TENANT, 2).all()


@pytest.mark.parametrize(
    ("type_name", "greatest"),
    [("numeric(4,2)", 99.99), ("numeric(2,2)", 0.99), ("smallint", 32767)],
)
def test_numbers_stay_within_their_type(type_name: str, greatest: float) -> None:
    made = fitted(of(np.array([1e9, -1e9])), type_name, (None, None), _request(2, unique=False))
    assert made.data.tolist() == pytest.approx([greatest, -greatest])


def test_a_partition_key_lies_in_a_partition() -> None:
    found = windows.of_partitions(
        [
            "((at IS NOT NULL) AND (at >= '2024-01-01'::date) AND (at < '2024-02-01'::date))",
            "((at IS NOT NULL) AND (at >= '2026-01-01'::date) AND (at < '2026-02-01'::date))",
        ]
    )
    drawn = windows.draw(found["at"], np.random.default_rng(1), 100)
    months = {str(value)[:7] for value in drawn}
    assert months == {"2024-01", "2026-01"}


def test_a_default_partition_takes_everything() -> None:
    assert windows.of_partitions(["(n < 3)", "(NOT ((n IS NOT NULL) AND (n < 3)))"]) == {}


CATALOG = Catalog(
    tables={
        table.name: table
        for table in (
            _table("parent", {"id": "integer"}, _key("id")),
            _table("t", {"id": "integer", "name": "text", "parent": "integer"}, _key("id")),
        )
    },
    schemas=("public",),
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[nothing]\nrows = 3", r"\[nothing\]: there is no table public\.nothing"),
        ("[t]\nrows = 'many'", r"\[t\]: rows is 'many', not a number of rows"),
        ("[t]\nrow = 3", r"\[t\]: unknown key row"),
        ("rows = 3", r"\[rows\]: there is no table public\.rows"),
        ("[t.columns]\nnone = { value = 1 }", r"\[t\]: there is no column none"),
        ("[t.columns]\nname = { valeu = 1 }", r"\[t\] name: unknown key valeu"),
        ("[t.columns]\nname = { expression = 'lower(' }", r"expression 'lower\(' cannot be parsed"),
        ("[t.columns]\nname = { expression = 'nick' }", "there is no column nick"),
        ("[t]\nper = { parent = 'parent' }", r"\[t\]: per needs a foreign key's column and two"),
        ("[t", "cannot be read"),
    ],
)
def test_a_recipe_that_does_not_fit_is_told_in_one_line(
    tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "x.toml").write_text(text)
    with pytest.raises(UsageError, match=told) as caught:
        plan(CATALOG, Settings(), FillSettings(1, 1, 1, AS_OF, recipes_dir=tmp_path))
    assert "\n" not in str(caught.value)
    assert "x.toml" in str(caught.value)


def test_recipes_stand_where_their_schema_says(tmp_path: Path) -> None:
    def planned(directory: Path) -> None:
        plan(CATALOG, Settings(), FillSettings(1, 1, 1, AS_OF, recipes_dir=directory))

    with pytest.raises(UsageError, match="there is no such directory of recipes"):
        planned(tmp_path / "none")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "x.toml").write_text("")
    with pytest.raises(UsageError, match=r"x\.toml: there is no schema shop"):
        planned(tmp_path)
    (tmp_path / "y.toml").write_text("")
    with pytest.raises(UsageError, match=r"y\.toml: recipes stand in a directory of their schema"):
        planned(tmp_path)
