"""Brings the schema files into a database, once, in one transaction, and remembers it."""
