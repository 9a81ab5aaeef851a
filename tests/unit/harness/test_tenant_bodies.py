"""Functions of one tenant, with bodies that name the tenant's shards."""

from __future__ import annotations

import pytest
from pglast import parser

from harness.catalog.model import Name
from harness.catalog.shard_names import Named, Spread
from harness.config import Tenancy
from harness.deploy.tenant_bodies import by_tenant, may_name_shards
from harness.deploy.translation import whose_function

_NAMED = Named(
    tables={
        Name("shop", "item"): Spread(("item_1", "item_2"), (1, 2)),
        Name("shop", "country"): Spread(("country_5",), (5,), shared=True),
    },
    views={},
)
_BODY = """
#variable_conflict use_column
DECLARE
    found shop.item%ROWTYPE;
BEGIN
    SELECT i.* INTO found FROM shop.item AS i WHERE i.business_id = tenant;
    RETURN found.n;
END;
"""


def _function(body: str, parameters: str = "tenant uuid") -> str:
    """As PostgreSQL tells one."""
    return (
        f"CREATE OR REPLACE FUNCTION shop.f({parameters})\n RETURNS integer\n"
        f" LANGUAGE plpgsql\nAS $function${body}$function$\n"
    )


def _statement(text: str) -> str:
    return f"BEGIN {text} END"


def test_the_body_is_there_for_each_interval_and_as_it_was() -> None:
    text = by_tenant(_BODY, "tenant", (7, 8), _NAMED)
    parser.parse_plpgsql_json(_function(text))
    here, first, second, nowhere = (
        text[text.index(at) :]
        for at in ("CASE harness.shard_here(tenant)", "WHEN 7", "WHEN 8", "ELSE")
    )
    assert len(here) > len(first) > len(second) > len(nowhere)
    assert 'FROM "shop"."item_1" AS i' in first.partition("WHEN 8")[0]
    assert 'FROM "shop"."item_2" AS i' in second.partition("ELSE")[0]
    assert "FROM shop.item AS i" in nowhere
    assert text.count("#variable_conflict") == 1


def test_a_function_that_reads_no_table_stays() -> None:
    assert by_tenant(_statement("RETURN 1;"), "tenant", (7, 8), _NAMED) == _statement("RETURN 1;")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT i INTO found FROM shop.item AS i;",
        "PERFORM shop.g(item) FROM shop.item;",
        "EXECUTE 'SELECT FROM shop.item';",
        "INSERT INTO shop.item SELECT 1 ON CONFLICT ON CONSTRAINT item_pkey DO NOTHING;",
        "PERFORM 'shop.item'::regclass;",
        "DELETE FROM shop.item; COMMIT;",
    ],
)
def test_what_is_another_thing_on_a_shard_keeps_a_function_from_it(statement: str) -> None:
    body = _statement(statement)
    assert not may_name_shards(_function(body), body)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT i.n INTO found FROM shop.item AS i;",
        "PERFORM to_jsonb(i) FROM shop.item AS i WHERE i IS NOT NULL;",
        "SELECT i.* INTO found FROM shop.item AS i;",
        "RAISE 'COMMIT'; -- EXECUTE nothing",
        "UPDATE shop.item AS i SET n = 1 RETURNING i.n INTO found;",
    ],
)
def test_what_is_the_same_on_a_shard_does_not(statement: str) -> None:
    body = f"DECLARE found integer; {_statement(statement)}"
    assert may_name_shards(_function(body), body)


@pytest.mark.parametrize(
    ("body", "parameters", "expected"),
    [
        ("DECLARE harness_tenant CONSTANT uuid := t.now(); BEGIN END", "", "t.now()"),
        (_BODY, "tenant uuid, n integer", "tenant"),
        (_BODY, "tenant text", ""),
        (_BODY.replace("= tenant", "= sold.business_id"), "sold shop.sale", "sold.business_id"),
        (_BODY.replace("= tenant", "= sold.business_id"), "n integer", ""),
        (_statement("PERFORM FROM shop.item AS i WHERE i.n = 1;"), "tenant uuid", ""),
    ],
)
def test_whose_a_function_is(body: str, parameters: str, expected: str) -> None:
    tenancy = Tenancy(current_tenant="t.now()")
    assert whose_function(_function(body, parameters), tenancy) == expected
