"""How much a database holds; a part of the Run document. Sizes are bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TableVolume:
    """A table with its partitions and what is stored beside it (TOAST)."""

    table: str
    heap_bytes: int
    index_bytes: int

    @property
    def bytes(self) -> int:
        """In all."""
        return self.heap_bytes + self.index_bytes


@dataclass(frozen=True, slots=True)
class SchemaVolume:
    """All tables and materialized views of a schema."""

    heap_bytes: int
    index_bytes: int

    @property
    def bytes(self) -> int:
        """In all."""
        return self.heap_bytes + self.index_bytes


@dataclass(frozen=True, slots=True)
class Volume:
    """A database without PostgreSQL's own schemas."""

    schemas: Mapping[str, SchemaVolume]
    largest: tuple[TableVolume, ...]
    """The largest tables, largest first."""
