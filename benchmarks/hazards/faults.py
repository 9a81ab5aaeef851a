"""The faults: the operators of checks.mutations that carry a hazard's number, each on one table."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from benchmarks.hazards.specimens import Specimen
from checks import static
from checks.mutation import Operator, Subject, operators
from harness.catalog import files
from harness.catalog.model import Table

SUBJECT = "purchase"
FORM = frozenset({"POL010"})
"""That a policy looks unlike the others is no reason to call its fault seen."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A hazard, planted by an operator's SQL."""

    operator: Operator
    statement: sql.Composed

    @property
    def number(self) -> str:
        """H01 to H96."""
        return self.operator.hazard

    @property
    def text(self) -> str:
        """The SQL as a file would have it."""
        return f"{self.statement.as_string(None)};"

    @property
    def rules(self) -> frozenset[str]:
        """The rules that are about it."""
        return frozenset(self.operator.rules) - FORM


def faults(specimen: Specimen) -> list[Fault]:
    """Every hazard once, in the specimen's subject where it can be planted there."""
    texts = static.read_texts([specimen.settings.schema_dir])
    tables = files.read(texts, specimen.settings.partition_functions).catalog.tables.values()
    ordered = sorted(tables, key=lambda table: table.name.name != SUBJECT)
    numbered = sorted((o for o in operators() if o.hazard), key=lambda o: o.hazard)
    return [_plant(operator, ordered, specimen) for operator in numbered]


def _plant(operator: Operator, tables: list[Table], specimen: Specimen) -> Fault:
    tenancy, roles = specimen.settings.tenancy, specimen.settings.roles
    for table in tables:
        statement = operator.plant(Subject(table, tenancy, roles))
        if statement is not None:
            return Fault(operator, statement)
    raise LookupError(f"{operator.name} can be planted in no table of {specimen.name}")
