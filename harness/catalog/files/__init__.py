"""Reads the Catalog from SQL files with PostgreSQL 17's own grammar, without a database."""

from harness.catalog.files.draft import Draft
from harness.catalog.files.reader import begin, go_on, read

__all__ = ["Draft", "begin", "go_on", "read"]
