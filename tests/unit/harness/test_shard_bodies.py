"""What stands for tables in a text that a node of a cluster runs."""

from __future__ import annotations

import pytest
from pglast import parser

from harness.catalog.model import Name
from harness.catalog.shard_names import Named, Spread, on_shards
from harness.deploy.shard_bodies import by_shard

SALE = Spread(("sale_7", "sale_8"), (7, 8))
NAMED = Named(
    tables={
        Name("shop", "sale"): SALE,
        Name("shop", "item"): Spread(("item_1", "item_2"), (1, 2)),
        Name("shop", "country"): Spread(("country_5",), (5,), shared=True),
    },
    views={Name("shop", "sold"): " SELECT sale.item_id FROM shop.sale;"},
)


def _on_second(text: str) -> str:
    return on_shards(text, 1, NAMED)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM shop.item AS i", 'FROM "shop"."item_2" AS i'),
        ("FROM shop.item i WHERE", 'FROM "shop"."item_2" i WHERE'),
        ("FROM shop.item WHERE item.n > 1", 'FROM "shop"."item_2" AS "item" WHERE item.n > 1'),
        ("UPDATE shop.item SET n = 1", 'UPDATE "shop"."item_2" AS "item" SET n = 1'),
        ("DELETE FROM shop.item;", 'DELETE FROM "shop"."item_2" AS "item";'),
        ("INSERT INTO shop.item (n)", 'INSERT INTO "shop"."item_2" AS "item" (n)'),
        ("FROM changed AS c, shop.item AS i", 'FROM changed AS c, "shop"."item_2" AS i'),
        ("JOIN shop.item USING (n)", 'JOIN "shop"."item_2" AS "item" USING (n)'),
        ("FROM shop.country AS c", 'FROM "shop"."country_5" AS c'),
        ("FROM (shop.item i JOIN changed", 'FROM ("shop"."item_2" i JOIN changed'),
        ("SELECT i.n, i.m FROM shop.item AS i", 'SELECT i.n, i.m FROM "shop"."item_2" AS i'),
        ("FROM shop.sold AS s", 'FROM ( SELECT sale.item_id FROM "shop"."sale_8" AS "sale") AS s'),
    ],
)
def test_a_statement_names_shards_and_calls_them_as_it_did(text: str, expected: str) -> None:
    assert _on_second(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "FROM shop.item(1) AS i",
        "FROM shop.unknown AS u",
        "row_security_active('shop.item')",
        "-- what came FROM shop.item",
        "/* FROM shop.item */",
        "RAISE 'taken FROM shop.item'",
        "DECLARE i shop.item%ROWTYPE;",
        "SELECT n INTO known FROM changed",
    ],
)
def test_what_is_no_table_of_a_statement_stays(text: str) -> None:
    assert _on_second(text) == text


def test_a_text_that_is_executed_names_shards_too() -> None:
    text = "EXECUTE 'SELECT FROM shop.item AS i'; EXECUTE format($q$ SELECT FROM shop.sale $q$);"
    assert "shop.item" not in _on_second(text)
    assert "shop.sale" not in _on_second(text)


@pytest.mark.parametrize(
    "body",
    [
        "BEGIN UPDATE shop.item AS i SET n = 1 FROM changed; RETURN NULL; END",
        "\n#variable_conflict use_column\nBEGIN PERFORM FROM shop.item; RETURN NULL;\nEND; -- a\n",
    ],
)
def test_a_body_is_there_for_each_shard_that_may_call_it(body: str) -> None:
    text = by_shard(body, [SALE, Spread(("rest_17", "rest_18"), (17, 18))], NAMED)
    assert "WHEN '7', '17' THEN" in text
    assert "WHEN '8', '18' THEN" in text
    parser.parse_plpgsql_json(
        f"CREATE FUNCTION shop.f() RETURNS trigger LANGUAGE plpgsql AS $f${text}$f$"
    )


def test_a_shard_that_is_new_finds_the_function_as_it_was() -> None:
    body = "BEGIN PERFORM FROM shop.item; RETURN NULL; END"
    text = by_shard(body, [SALE], NAMED)
    assert "shop.item;" in text.partition("ELSE")[2]
    assert "shop.item;" not in text.partition("ELSE")[0]


def test_a_shard_that_is_new_is_told_where_the_function_cannot_be_as_it_was() -> None:
    text = by_shard("BEGIN UPDATE shop.item SET n = 1; END", [SALE], NAMED, "RAISE 'unknown';")
    assert text.partition("ELSE")[2].strip().startswith("RAISE 'unknown';")


def test_a_function_that_names_no_table_stays() -> None:
    assert by_shard("BEGIN RETURN NEW; END", [SALE], NAMED) == "BEGIN RETURN NEW; END"
