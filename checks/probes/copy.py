"""Exporting: COPY TO hands a tenant the rows of another."""

from checks.attempt import Outcome, Session, Subject, count_rows

STATEMENT = "COPY {table} ({tenant}) TO STDOUT"
# COPY TO reads no partitioned table by its name.
OF_PARTITIONS = "COPY (SELECT {tenant} FROM {table}) TO STDOUT"


def attempt(session: Session, subject: Subject) -> Outcome:
    statement = OF_PARTITIONS if subject.table.partition_by else STATEMENT
    foreign = 0
    with (
        session.transaction(subject.own) as connection,
        connection.cursor().copy(subject.compose(statement)) as copy,
    ):
        for row in copy.rows():
            foreign += row != (str(subject.own),)
    return count_rows(foreign, "exported")
