"""Exporting: COPY TO hands a tenant the rows of another."""

from checks.attempt import Outcome, Session, Subject, count_rows

STATEMENT = "COPY {table} ({tenant}) TO STDOUT"
# COPY TO reads no partitioned table by its name.
OF_PARTITIONS = "COPY (SELECT {tenant} FROM {table}) TO STDOUT"


def attempt(session: Session, subject: Subject) -> Outcome:
    statement = subject.compose(OF_PARTITIONS if subject.table.partition_by else STATEMENT)
    own = (str(subject.own),)
    with (
        session.transaction(subject.own) as connection,
        connection.cursor().copy(statement) as copy,
    ):
        foreign = sum(row != own for row in copy.rows())
    return count_rows(foreign, "exported")
