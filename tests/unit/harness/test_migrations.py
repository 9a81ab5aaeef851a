"""Given the files of a migration tool, what leads forth is read, in its order."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.deploy import migrations, source


@pytest.mark.parametrize(
    ("found", "read"),
    [
        (["10_b.sql", "2_a.sql", "1_z.sql"], ["1_z.sql", "2_a.sql", "10_b.sql"]),
        (["1_a.up.sql", "1_a.down.sql"], ["1_a.up.sql"]),
        (["2024/down.sql", "2024/up.sql"], ["2024/up.sql"]),
        (["V1__a.sql", "U1__a.sql", "V1_1__b.sql"], ["V1__a.sql", "V1_1__b.sql"]),
        (["deploy/a.sql", "revert/a.sql", "verify/a.sql"], ["deploy/a.sql"]),
        (["verify/a.sql", "b_breakdown.sql"], ["b_breakdown.sql", "verify/a.sql"]),
    ],
)
def test_what_undoes_a_migration_is_left_out(found: list[str], read: list[str]) -> None:
    assert migrations.in_order(found) == read


@pytest.mark.parametrize(
    ("up", "down"),
    [
        ("-- +goose Up", "-- +goose Down"),
        ("-- migrate:up", "-- migrate:down transaction:false"),
        ("-- +migrate Up", "--  +migrate Down"),
        ("-- Up Migration", "-- Down Migration"),
    ],
)
def test_a_section_that_undoes_is_blank_and_no_line_moves(up: str, down: str) -> None:
    text = f"{up}\nCREATE TABLE a ();\n{down}\nDROP TABLE a;\n{up}\nCREATE TABLE b ();\n"
    read = migrations.forth(text).split("\n")
    assert [line for line in read if line.strip()] == [
        up,
        "CREATE TABLE a ();",
        up,
        "CREATE TABLE b ();",
    ]
    assert len(read) == text.count("\n") + 1


def test_a_directory_without_an_order_is_read_so(tmp_path: Path) -> None:
    (tmp_path / "10_b.up.sql").write_text("\ufeffSELECT 2;", encoding="utf-8")
    (tmp_path / "9_a.up.sql").write_text("SELECT 1;", encoding="utf-8")
    (tmp_path / "9_a.down.sql").write_text("SELECT 0;", encoding="utf-8")
    files = source.read(tmp_path)
    assert [file.text for file in files] == ["SELECT 1;", "SELECT 2;"]
    source.require_all_named(tmp_path, files)
