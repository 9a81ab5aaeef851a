"""Values that are new for every call."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from harness.errors import UsageError
from loadtests.call_values import compile_value


def test_uuids_differ_from_call_to_call() -> None:
    make = compile_value("uuid()")
    assert UUID(make()) != UUID(make())


def test_texts_keep_their_prefix_and_differ() -> None:
    make = compile_value("text('order-')")
    first, second = make(), make()
    assert first.startswith("order-")
    assert first != second


def test_integers_stay_in_their_bounds() -> None:
    make = compile_value("random_int(3, 5)")
    assert {make() for _ in range(200)} == {"3", "4", "5"}


def test_choices_are_those_given() -> None:
    make = compile_value("choice('a', 'b')")
    assert {make() for _ in range(100)} == {"a", "b"}


def test_now_is_now() -> None:
    stated = datetime.fromisoformat(compile_value("now()")())
    assert abs((datetime.now(UTC) - stated).total_seconds()) < 5


@pytest.mark.parametrize("bad", ["", "uuid", "evil()", "uuid(", "random_int(1)", "text(open('x'))"])
def test_anything_else_is_refused(bad: str) -> None:
    with pytest.raises(UsageError, match="known are"):
        compile_value(bad)
