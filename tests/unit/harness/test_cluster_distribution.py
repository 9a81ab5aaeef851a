"""How the tables of a coordinator are to be distributed, and in which order."""

from __future__ import annotations

import pytest

from harness.catalog.model import Name
from harness.config import Tenancy
from harness.deploy.distribution import LocalTable, in_order, tenant_column
from harness.errors import SchemaError

A, B, C = (Name("shop", name) for name in "abc")


def _table(name: Name, *refers_to: Name) -> LocalTable:
    return LocalTable(name, frozenset({"business_id"}), refers_to=frozenset(refers_to))


def test_a_table_comes_after_those_it_refers_to() -> None:
    ordered = in_order([_table(A, C), _table(B), _table(C, B)])
    assert [table.name for table in ordered] == [B, C, A]


def test_what_is_distributed_already_is_not_waited_for() -> None:
    assert [table.name for table in in_order([_table(A, B)])] == [A]


def test_keys_that_go_round_are_told_with_the_way_out() -> None:
    with pytest.raises(SchemaError, match=r"go round: shop\.a → shop\.b → shop\.a.*ALTER TABLE"):
        in_order([_table(A, B), _table(B, A)])


def test_a_table_goes_by_its_tenant_column_or_to_every_node() -> None:
    tenancy = Tenancy(column="org_id", root_table="shop.org")
    assert tenant_column(LocalTable(A, frozenset({"org_id", "id"})), tenancy) == "org_id"
    assert tenant_column(LocalTable(B, frozenset({"code"})), tenancy) is None


def test_the_table_of_tenants_may_name_its_tenant_by_its_key() -> None:
    tenancy = Tenancy(column="org_id", root_table="shop.org")
    root = Name("shop", "org")
    assert tenant_column(LocalTable(root, frozenset({"id"}), key=("id",)), tenancy) == "id"
    assert tenant_column(LocalTable(root, frozenset({"id"}), key=("id", "at")), tenancy) is None
