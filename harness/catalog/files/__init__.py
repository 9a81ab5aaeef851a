"""Reads the Catalog from SQL files with PostgreSQL 17's own grammar, without a database."""

from harness.catalog.files.reader import read

__all__ = ["read"]
