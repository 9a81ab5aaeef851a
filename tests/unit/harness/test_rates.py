"""Given how many rows there were when, the rates of a fill."""

from __future__ import annotations

from harness.cli.rates import Rates


def test_rates_in_all_and_of_the_table_in_hand() -> None:
    moments = iter([0.0, 2.0, 3.0])
    rates = Rates(clock=lambda: next(moments))
    assert rates.told(4000, "shop.item") == "2,000 rows/s, 2,000 in shop.item"
    assert rates.told(9000, "shop.line") == "3,000 rows/s, 5,000 in shop.line"
