"""Other bodies for functions on every node of a cluster, as workers are told of them."""

from __future__ import annotations

from typing import Any, cast

import pytest
from pglast import parser

from harness.db import Connection
from harness.deploy.replacing import replace
from harness.errors import SchemaError

_FUNCTION = "CREATE OR REPLACE FUNCTION s.f{} RETURNS text LANGUAGE sql AS $f$ SELECT '{}' $f$"


class _Coordinator:
    """Keeps what it is told to run, and answers for the workers."""

    def __init__(self, refuses: str = "") -> None:
        self.sent: list[str] = []
        self.own: list[str] = []
        self._refuses = refuses

    def execute(self, query: Any, parameters: Any = None) -> _Coordinator:
        if parameters:
            self.sent += parameters
        else:
            self.own.append(query.decode() if isinstance(query, bytes) else query)
        return self

    def fetchone(self) -> tuple[str, str] | None:
        return ("worker-1", self._refuses) if self._refuses else None


def test_every_node_is_told_each_function_and_tells_no_other() -> None:
    coordinator = _Coordinator()
    functions = [_FUNCTION.format(f"{n}()", "it's" * 50_000) for n in range(5)]
    replace(cast("Connection", coordinator), functions)
    blocks = [parser.parse_sql(command)[0].stmt for command in coordinator.sent]
    bodies = [str(block.args[0].arg.sval) for block in blocks]
    assert len(bodies) > 1, "they are sent a few at a time"
    for n in range(5):
        assert sum(f"s.f{n}()" in body for body in bodies) == 1
    for body in bodies:
        assert body.index("citus.enable_ddl_propagation = off") < body.index("CREATE OR REPLACE")
    assert coordinator.own[1:-1] == functions
    assert coordinator.own[0].endswith("= off")
    assert coordinator.own[-1].endswith("= on")


def test_a_worker_that_refuses_ends_it_before_the_coordinator_is_changed() -> None:
    coordinator = _Coordinator(refuses="ERROR: no")
    with pytest.raises(SchemaError, match="worker-1 does not take a function's body: ERROR: no"):
        replace(cast("Connection", coordinator), [_FUNCTION.format("()", "")])
    assert coordinator.own == []
