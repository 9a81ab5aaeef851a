"""A school for tests: sections that one can enroll in, learners, orders and what pays them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from psycopg import sql

from harness.db import Connection
from tests.integration.schema.rows import row


def numbers(connection: Connection) -> None:
    """Lets enrollments be numbered."""
    connection.execute(
        "INSERT INTO system_core.number_sequence (business_id, sequence_code, prefix)"
        " VALUES (tenant_mgmt.current_business_id(), 'enrollment', 'E-')"
        " ON CONFLICT DO NOTHING"
    )


def open_section(connection: Connection, **given: Any) -> UUID:
    """A section that takes enrollments for years."""
    section = row(
        connection,
        "courses.course_section",
        **{"starts_on": "2020-01-01", "ends_on": "2036-01-01", **given},
    )
    change(connection, "courses.course_section", section, status="open")
    numbers(connection)
    return section


def change(connection: Connection, table: str, key: UUID, **columns: Any) -> None:
    """Sets columns of one row."""
    schema, name = table.split(".")
    connection.execute(
        sql.SQL("UPDATE {table} SET {sets} WHERE {key} = %s").format(
            table=sql.Identifier(schema, name),
            sets=sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(c)) for c in columns),
            key=sql.Identifier(f"{name}_id"),
        ),
        [*columns.values(), key],
    )


def of(connection: Connection, table: str, key: UUID, *columns: str) -> Any:
    """Columns of one row: the value of one, a tuple of several."""
    schema, name = table.split(".")
    found = connection.execute(
        sql.SQL("SELECT {columns} FROM {table} WHERE {key} = %s").format(
            columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
            table=sql.Identifier(schema, name),
            key=sql.Identifier(f"{name}_id"),
        ),
        [key],
    ).fetchone()
    assert found
    return found[0] if len(columns) == 1 else found


def one(connection: Connection, query: str, *values: Any) -> Any:
    """The first column of the first row."""
    found = connection.execute(query.encode(), values).fetchone()
    return found[0] if found else None


def learner(connection: Connection, **given: Any) -> UUID:
    """Somebody who learns."""
    return row(connection, "courses.learner", **given)


def enrolled(connection: Connection, section: UUID, status: str = "active", **given: Any) -> UUID:
    """An enrollment in a section, in a status that it has by one move."""
    made = row(connection, "courses.enrollment", course_section_id=section, **given)
    if status != "requested":
        change(connection, "courses.enrollment", made, status=status)
    return made


def enroll(
    connection: Connection,
    person: UUID,
    section: UUID,
    source: str = "admin",
    line: UUID | None = None,
    moment: str = "now",
) -> UUID | None:
    """What courses.enroll_learner() returns."""
    made: UUID | None = one(
        connection,
        "SELECT courses.enroll_learner(%s, %s, %s, %s, %s::timestamptz)",
        person,
        section,
        source,
        line,
        moment,
    )
    return made


def cart(connection: Connection, *offers: UUID, quantity: int = 1, **given: Any) -> UUID:
    """A cart with a line for each offer, 100 apiece."""
    order = row(connection, "courses.course_order", **given)
    for number, offer in enumerate(offers, start=1):
        row(
            connection,
            "courses.course_order_line",
            course_order_id=order,
            price_offer_id=offer,
            line_no=number,
            quantity=quantity,
            unit_amount=100,
        )
    return order


def placed(connection: Connection, *offers: UUID, **given: Any) -> UUID:
    """An order that waits for its money."""
    order = cart(connection, *offers, **given)
    change(connection, "courses.course_order", order, status="pending")
    return order


def line_of(connection: Connection, order: UUID) -> UUID:
    """The first line of an order."""
    found: UUID = one(
        connection,
        "SELECT course_order_line_id FROM courses.course_order_line WHERE course_order_id = %s"
        " ORDER BY line_no",
        order,
    )
    return found


def pay(connection: Connection, order: UUID, amount: float, **given: Any) -> UUID:
    """A payment that came in."""
    return row(
        connection,
        "courses.course_payment",
        course_order_id=order,
        amount=amount,
        **{"status": "succeeded", "paid_at": "now", **given},
    )
