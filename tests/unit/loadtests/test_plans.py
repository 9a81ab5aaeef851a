"""What is read from a plan: its shape, what a call touches, and what is wrong with it."""

from __future__ import annotations

from typing import Any

from loadtests.plans import read


def _scan(kind: str = "Index Scan", **more: Any) -> dict[str, Any]:
    return {
        "Node Type": kind,
        "Relation Name": "item",
        "Actual Rows": 1,
        "Actual Loops": 1,
        "Actual Total Time": 0.5,
        "Shared Hit Blocks": 7,
        "Shared Read Blocks": 2,
        **more,
    }


def _document(root: dict[str, Any]) -> dict[str, Any]:
    return {
        "Plan": root,
        "Execution Time": 1.5,
        "Planning": {"Memory Used": 20},
        "Serialization": {"Output Volume": 3},
    }


def _append(*names: str) -> dict[str, Any]:
    return {"Node Type": "Append", "Plans": [_scan(**{"Relation Name": name}) for name in names]}


def test_figures_are_those_of_a_call() -> None:
    plan = read(_document(_scan(**{"Index Name": "item_pkey", "Temp Written Blocks": 4})), "org_id")
    assert (plan.buffers, plan.milliseconds, plan.temp_blocks) == (9, 1.5, 4)
    assert (plan.memory_kb, plan.output_kb) == (20, 3)
    assert plan.outline == ("Index Scan item_pkey on item (0.50 ms, 1 rows)",)
    assert plan.remarks == ()


def test_the_digest_tells_plans_apart_and_not_their_costs() -> None:
    one = read(_document(_scan(**{"Index Name": "item_pkey"})), "org_id").digest
    slower = _scan(**{"Index Name": "item_pkey", "Actual Total Time": 9, "Actual Rows": 5})
    assert read(_document(slower), "org_id").digest == one
    assert read(_document(_scan(**{"Index Name": "item_name"})), "org_id").digest != one
    assert read(_document(_scan("Seq Scan")), "org_id").digest != one


def test_another_partition_is_no_other_plan() -> None:
    one = read(_document(_append("log_2026_01", "log_2026_02")), "org_id").digest
    assert (
        read(_document(_append("log_2026_02", "log_2026_03", "log_2026_04")), "org_id").digest
        == one
    )
    assert read(_document(_append("log_2026_02", "line_2026_01")), "org_id").digest != one


def test_a_table_read_whole_names_the_index_that_is_missing() -> None:
    scan = _scan(
        "Seq Scan",
        **{
            "Rows Removed by Filter": 50_000,
            "Actual Loops": 2,
            "Filter": "((org_id = current_org()) AND (name = 'x'::text))",
        },
    )
    (remark,) = read(_document({"Node Type": "Limit", "Plans": [scan]}), "org_id").remarks
    assert remark == (
        "sequential scan on item throws 100,000 rows away: an index on (org_id, name) is missing"
        " or not used"
    )


def test_small_tables_may_be_read_whole() -> None:
    scan = _scan("Seq Scan", **{"Rows Removed by Filter": 99})
    assert read(_document(scan), "org_id").remarks == ()


def test_a_sort_on_disk_is_remarked() -> None:
    sort = {"Node Type": "Sort", "Sort Space Type": "Disk", "Sort Space Used": 12_345}
    assert read(_document(sort), "org_id").remarks == (
        "a sort writes 12,345 kB to disk: more than work_mem",
    )
