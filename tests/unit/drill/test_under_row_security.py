"""How a dump names its tenant, and how its rows are counted."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from harness.config import Tenancy
from harness.drill.under_row_security import as_tenant, rows_of

DUMP = """SET row_security = on;

COPY shop.item (org_id, name) FROM stdin;
a	COPY it
a	\\\\.
\\.

"""


@pytest.mark.parametrize(
    ("tenancy", "options"),
    [
        (Tenancy(setting="app.org"), "-c role=web -c app.org=7"),
        (Tenancy(setting="jwt", claim="app.org"), '-c role=web -c jwt={"app":{"org":"7"}}'),
        (Tenancy(by_role=True), "-c role=web -c role=7"),
    ],
    ids=["setting", "claim", "role"],
)
def test_a_tenant_is_named_at_the_start_of_the_connection(tenancy: Tenancy, options: str) -> None:
    dsn = as_tenant("dbname=x options='-c role=web'", tenancy, "7")
    assert conninfo_to_dict(dsn)["options"] == options


def test_what_separates_options_is_escaped() -> None:
    dsn = as_tenant("dbname=x", Tenancy(setting="app.org"), "a b\\c")
    assert conninfo_to_dict(dsn)["options"] == "-c app.org=a\\ b\\\\c"


def test_rows_are_counted_to_the_end_of_the_copy() -> None:
    assert rows_of(DUMP) == 2


def test_a_refused_dump_has_no_rows() -> None:
    assert rows_of("pg_dump: error: query failed\n") == 0
