"""What only the other tenant has, and how to find it in an answer."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import psycopg
from psycopg import sql

from checks.attempt import Subject, first
from checks.ground import Ground
from harness.db import is_lost

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_KEYS = "SELECT {key}::text FROM {table} WHERE {tenant} = {other} LIMIT 50"
_MINE = "SELECT EXISTS (SELECT 1 FROM {table} WHERE {tenant} = {own} AND {key}::text = {value})"
_TELLING = 6
"""A tenant's id of fewer characters occurs by chance."""


@dataclass
class Evidence:
    """Values by which an answer is recognized as the other tenant's: its id, and keys of its rows
    that are uuids, for those do not occur by chance."""

    ground: Ground

    def find(self, answer: list[str], given: list[str | None]) -> str | None:
        """What an answer shows of the other tenant, beyond what it was given; of a row no more
        than its key, for reports are read by many."""
        asked = "\0".join(value for value in given if value is not None)
        for row in answer:
            if told := self._in_row(row, asked):
                return told
        return None

    def _in_row(self, row: str, asked: str) -> str | None:
        other = str(self.ground.other)
        if len(other) >= _TELLING and other in row and other not in asked:
            return "the id of another tenant"
        for key in _UUID.findall(row):
            if key in self._keys and key not in asked and not self._is_mine(key):
                return f"a row of {self._keys[key].table.name} of another tenant, {key}"
        whose = _tenant_of(row, self.ground.settings.tenancy.column)
        if whose is not None and str(whose) != str(self.ground.own) and str(whose) not in asked:
            return f"a row of tenant {whose}"
        return None

    @cached_property
    def _keys(self) -> dict[str, Subject]:
        """Keys of rows of the other tenant, some of every table."""
        keys: dict[str, Subject] = {}
        for subject in self.ground.subjects():
            if key := _key(subject):
                keys |= dict.fromkeys(self._of_other(subject, key), subject)
        return keys

    def _of_other(self, subject: Subject, key: str) -> list[str]:
        admin, there = self.ground.place_of(subject)
        query = there.compose(_KEYS, key=sql.Identifier(key))
        try:
            return [key for (key,) in admin.execute(query).fetchall()]
        except psycopg.Error as error:
            if is_lost(error):
                raise
            return []

    def _is_mine(self, key: str) -> bool:
        """Copies of a catalogue may carry the same keys for every tenant."""
        subject = self._keys[key]
        column = sql.Identifier(_key(subject) or "")
        query = subject.compose(_MINE, key=column, value=sql.Literal(key))
        return bool(first(self.ground.admin, query))


def _key(subject: Subject) -> str | None:
    """The column of type uuid of a primary key, beside the tenant's."""
    key = subject.table.primary_key
    columns = [c for c in (key.columns if key else ()) if c != subject.tenant_column]
    return next((c for c in columns if subject.table.columns[c].type == "uuid"), None)


def _tenant_of(row: str, column: str) -> Any:
    """The tenant that a row of an answer names, None where it names none."""
    try:
        value = json.loads(row)
    except json.JSONDecodeError:
        return None
    return value.get(column) if isinstance(value, dict) else None
