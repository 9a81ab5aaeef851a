"""What is mended, and what is not looked at in vain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from datagen import repair, tenants
from datagen.breaking import Looked, broken_checks
from datagen.building import build
from datagen.frame import Frame, Parent
from datagen.part import Part
from datagen.plan import FillPlan, FillSettings, plan
from datagen.pools import Pools
from datagen.values import of
from harness.catalog.model import Catalog, Column, Constraint, Name, Table
from harness.config import Settings, Tenancy

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
RECIPES = """
[owner]
rows = 8
[thing]
per = { parent = "owner_id", counts = [1, 1] }
[none]
rows = 0
"""
OWNER = Table(
    Name("public", "owner"),
    {
        "owner_id": Column("owner_id", "uuid", not_null=True),
        "kind": Column("kind", "text", not_null=True),
    },
    (
        Constraint("owner_pkey", "primary key", ("owner_id",)),
        Constraint("owner_kind", "check", (), "kind IN ('a', 'b')"),
    ),
)
THING = Table(
    Name("public", "thing"),
    {
        "thing_id": Column("thing_id", "uuid", not_null=True),
        "owner_id": Column("owner_id", "uuid", not_null=True),
        "owner_kind": Column("owner_kind", "text", not_null=True),
        "low": Column("low", "integer", not_null=True),
        "high": Column("high", "integer", not_null=True),
    },
    (
        Constraint("thing_pkey", "primary key", ("thing_id",)),
        Constraint(
            "thing_owner",
            "foreign key",
            ("owner_id", "owner_kind"),
            references=OWNER.name,
            referenced_columns=("owner_id", "kind"),
        ),
        Constraint("only_of_a", "check", (), "owner_kind = 'a'"),
        Constraint("in_order", "check", (), "low < high"),
    ),
)
NONE = Table(Name("public", "none"), {"shape": Column("shape", "nothing.known", not_null=True)}, ())


@pytest.fixture
def planned(tmp_path: Path) -> FillPlan:
    """Things below their owners; a thing holds its owner's kind."""
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "x.toml").write_text(RECIPES)
    catalog = Catalog(
        tables={table.name: table for table in (OWNER, THING, NONE)}, schemas=("public",)
    )
    settings = Settings(tenancy=Tenancy(column="org_id", root_table="public.org"))
    return plan(catalog, settings, FillSettings(1, 1, 1, AS_OF, recipes_dir=tmp_path))


@dataclass
class Making:
    """Makes tables of a plan one after the other."""

    plan: FillPlan
    made: dict[Name, Parent] = field(default_factory=dict)

    def frame(self, name: str) -> Frame:
        """The rows of a table."""
        table = next(t for t in self.plan.tables if t.name.name == name)
        frame = build(self.plan, table, tenants.make(1, 0), Pools(1), self.made, Part())
        self.made[table.name] = frame
        return frame


def _texts(frame: Frame, column: str) -> list[object]:
    return list(frame.column(column).data)


def test_rows_below_a_parent_that_does_not_fit_are_left_out_and_the_others_mended(
    planned: FillPlan,
) -> None:
    making = Making(planned)
    owners, things = making.frame("owner"), making.frame("thing")
    assert things.rows == _texts(owners, "kind").count("a")
    assert 0 < things.rows < things.numbered
    assert set(things.missed) == {"only_of_a"}
    assert (things.column("low").data < things.column("high").data).all()


def test_what_no_draw_can_change_is_not_drawn_again_and_again(
    planned: FillPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[int] = []
    mend: Callable[..., None] = repair._mend

    def counted(frame: Frame, *given: object) -> None:
        rounds.append(frame.attempt)
        mend(frame, *given)

    monkeypatch.setattr(repair, "_mend", counted)
    making = Making(planned)
    making.frame("owner")
    making.frame("thing")
    assert max(rounds, default=0) < repair.ROUNDS / 2


def test_a_table_without_rows_needs_no_values(planned: FillPlan) -> None:
    none = Making(planned).frame("none")
    assert none.rows == 0
    assert none.made == {}


def test_a_check_is_looked_at_again_where_one_of_its_columns_is_new(planned: FillPlan) -> None:
    making = Making(planned)
    making.frame("owner")
    frame = making.frame("thing")
    looked, rows = Looked(frame), np.arange(frame.rows)
    checks = [check for check in frame.table.checks if check.name == "in_order"]
    assert broken_checks(frame, checks, rows, looked) == {}
    frame.made["owner_kind"] = of(np.full(frame.rows, "b", object))
    assert not looked.is_new(checks[0], checks[0].expression.columns)
    frame.made["high"] = frame.column("low")
    assert list(broken_checks(frame, checks, rows, looked)) == checks
