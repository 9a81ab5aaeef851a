"""The one error of expressions."""

from harness.errors import UsageError


class UnknownExpression(UsageError):
    """An expression uses something that is not supported; PostgreSQL alone can judge it."""
