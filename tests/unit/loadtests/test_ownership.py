"""An answer is searched for what is another tenant's."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from loadtests.ownership import NOTHING, Ownership, canary
from loadtests.workload import TenantSamples

A, B = (str(uuid.UUID(int=n)) for n in (0xA0000001, 0xB0000002))
KEY_OF_B, COMMON = (str(uuid.UUID(int=n)) for n in (77, 88))
TENANTS = (
    TenantSamples(A, 1, {"q": [[["x", COMMON]]]}),
    TenantSamples(B, 1, {"q": [[[KEY_OF_B, COMMON]], [["7"]]]}),
)


class Answer:
    """As much of a PGresult as is read."""

    def __init__(self, names: list[str], *rows: list[str | None]) -> None:
        self._names, self._rows = names, rows
        self.nfields, self.ntuples = len(names), len(rows)

    def fname(self, position: int) -> bytes:
        return self._names[position].encode()

    def get_value(self, row: int, position: int) -> bytes | None:
        value = self._rows[row][position]
        return None if value is None else value.encode()


@pytest.fixture
def ownership() -> Ownership:
    return Ownership(TENANTS, "business_id")


def test_the_tenant_column_tells_whose_a_row_is(ownership: Ownership) -> None:
    answer: Any = Answer(["n", "business_id"], ["1", A], ["2", B], ["3", None], ["4", B])
    assert ownership.of_rows(b"q", A.encode(), answer) == (2, f"business_id {B}")
    own: Any = Answer(["n", "business_id"], ["1", A])
    assert ownership.of_rows(b"q", A.encode(), own) == NOTHING


def test_an_answer_without_the_column_says_nothing(ownership: Ownership) -> None:
    answer: Any = Answer(["n"], ["1"])
    assert ownership.of_rows(b"other", A.encode(), answer) == NOTHING


@pytest.mark.parametrize(
    "value", [B, KEY_OF_B, f'{{"who": "{KEY_OF_B}"}}', f"Dear {canary(B)}, hello"]
)
def test_ids_keys_and_canaries_of_others_are_found_in_any_column(
    ownership: Ownership, value: str
) -> None:
    answer: Any = Answer(["a", "b"], [None, "fine"], ["also", value], [value, "x"])
    found = ownership.anywhere(A.encode(), answer)
    assert found.rows == 2
    assert found.evidence.endswith(f"belongs to {B}")
    assert ownership.anywhere(B.encode(), answer) == NOTHING, "to B it is its own"


def test_what_two_tenants_share_identifies_neither(ownership: Ownership) -> None:
    answer: Any = Answer(["a"], [COMMON], ["7"], [str(uuid.uuid4())])
    assert ownership.anywhere(A.encode(), answer) == NOTHING


def test_small_tenant_numbers_are_not_searched_for() -> None:
    ownership = Ownership([TenantSamples("1", 1, {}), TenantSamples("2", 1, {})], "org_id")
    answer: Any = Answer(["a"], ["2"])
    assert ownership.anywhere(b"1", answer) == NOTHING


def test_the_canary_is_the_one_that_a_fill_plants() -> None:
    from datagen.tenants import make

    tenant = make(1, 0)
    assert canary(str(tenant.id)) == tenant.canary
