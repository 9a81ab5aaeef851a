"""Isolation probes: one module per way to cross the tenant boundary of a table.

A probe's module has a docstring, which is its reason, and `attempt(session, subject)`, which
tries to cross and says what happened. The same attempt runs twice: as the application on the
table as it is, where it must be held, and on the table without row security, where it must
cross; a probe that cannot cross an open table proves nothing.
"""
