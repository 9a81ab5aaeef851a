"""Reads the Catalog from SQL files with PostgreSQL 17's own grammar, without a database."""

from harness.catalog.files.reader import read
from harness.catalog.files.source import Privilege, Problem, RoleSetting, Source

__all__ = ["Privilege", "Problem", "RoleSetting", "Source", "read"]
