"""Which tables keep their indexes while others are loaded."""

from __future__ import annotations

from datagen.deferrable import read_by_triggers


def test_a_table_that_an_insert_trigger_reads_is_found_through_what_it_calls() -> None:
    functions = [
        ("a.fires", "BEGIN PERFORM a.checks(NEW.id); INSERT INTO a.log VALUES (1); END", True),
        ("a.checks", "SELECT 1 FROM a.Rule AS r JOIN other USING (id)", False),
        ("a.stands_alone", "SELECT 1 FROM a.unread", False),
    ]
    assert read_by_triggers(functions) == {"a.log", "a.rule", "other"}


def test_functions_that_call_each_other_end() -> None:
    functions = [("a.f", "SELECT a.g()", True), ("a.g", "SELECT f() FROM a.t", False)]
    assert read_by_triggers(functions) == {"a.t"}
