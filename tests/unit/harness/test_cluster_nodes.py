"""Workers as an option names them, and where their databases are."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from harness.deploy.nodes import Node, dsn_of
from harness.errors import UsageError


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("worker-1:5433", Node("worker-1", 5433)),
        ("worker-1", Node("worker-1", 5432)),
        ("[::1]:5433", Node("::1", 5433)),
    ],
)
def test_a_worker_is_a_host_and_a_port(text: str, node: Node) -> None:
    assert Node.parse(text) == node


@pytest.mark.parametrize("text", ["worker:", ":5432", "worker:http", ""])
def test_another_text_is_no_worker(text: str) -> None:
    with pytest.raises(UsageError, match="host:port"):
        Node.parse(text)


def test_a_workers_database_has_the_name_of_the_coordinators() -> None:
    dsn = dsn_of("postgresql://me:secret@coordinator:5432/shop", Node("worker", 6000))
    there = conninfo_to_dict(dsn)
    assert (there["host"], there["port"], there["dbname"]) == ("worker", "6000", "shop")
    assert there["user"] == "me"
