"""Everything the harness raises on purpose.

HarnessError
├── UsageError          wrong option, argument or setting          exit code 2
│   ├── SchemaError     an SQL file cannot be read or executed
│   └── RefusedError    the database is not ours to touch
└── DatabaseError       no connection, or it failed underway       exit code 3

A message is one line: what happened, where, and what to do. Findings are not errors: a command
that finds something returns 1.
"""

from __future__ import annotations


class HarnessError(Exception):
    """The harness could not do what it was asked to."""

    exit_code = 3


class UsageError(HarnessError):
    """Wrong option, argument or setting."""

    exit_code = 2


class SchemaError(UsageError):
    """An SQL file cannot be read or executed; the message starts with file:line."""


class RefusedError(UsageError):
    """The database was not created by the harness and nobody said that it may be changed."""


class DatabaseError(HarnessError):
    """The database could not be reached or failed underway."""

    exit_code = 3
