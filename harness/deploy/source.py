"""The files of a schema in load order, and where in them a statement stands."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pglast import parser

from harness.deploy import migrations
from harness.errors import SchemaError


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One SQL file: its path relative to the schema's directory, and its text."""

    path: str
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def line_at(self, offset: int) -> int:
        """The line, from 1, of a character offset."""
        return self.text.count("\n", 0, offset) + 1


def read(schema_dir: Path) -> tuple[SourceFile, ...]:
    """The files that order.txt names, or all *.sql below the directory in natural order, without
    what undoes a migration.

    Raises SchemaError where the directory, a file or its encoding is not as it should be.
    """
    if not schema_dir.is_dir():
        raise SchemaError(f"{schema_dir}: no such directory; name the schema with --schema-dir")
    files = tuple(_read_file(schema_dir, path) for path in _load_order(schema_dir))
    if not files:
        raise SchemaError(f"{schema_dir}: no SQL file in it")
    return files


def require_all_named(schema_dir: Path, files: Sequence[SourceFile]) -> None:
    """SchemaError for a file that order.txt forgot: nobody would miss it until it is needed."""
    named = {file.path for file in files}
    if not (schema_dir / "order.txt").is_file():
        return
    for path in sorted(schema_dir.rglob("*.sql")):
        if (name := path.relative_to(schema_dir).as_posix()) not in named:
            order = schema_dir / "order.txt"
            raise SchemaError(f"{order}: does not name {name}; add it where it belongs")


def statement_at(file: SourceFile, ordinal: int) -> tuple[int, str]:
    """Line and text of the statement with that ordinal, from 0."""
    slices = cast("tuple[slice, ...]", parser.split(file.text, only_slices=True))
    place = slices[min(ordinal, len(slices) - 1)]
    text = file.text[place]
    return file.line_at(place.start + len(text) - len(text.lstrip())), text.strip()


def _load_order(schema_dir: Path) -> list[str]:
    order = schema_dir / "order.txt"
    if not order.is_file():
        found = (path.relative_to(schema_dir).as_posix() for path in schema_dir.rglob("*.sql"))
        return migrations.in_order(found)
    lines = (line.partition("#")[0].strip() for line in order.read_text("utf-8").splitlines())
    return [line for line in lines if line]


def _read_file(schema_dir: Path, path: str) -> SourceFile:
    try:
        text = (schema_dir / path).read_text(encoding="utf-8-sig")
        return SourceFile(path, migrations.forth(text))
    except FileNotFoundError:
        raise SchemaError(f"{schema_dir / 'order.txt'}: {path} does not exist") from None
    except UnicodeDecodeError:
        raise SchemaError(f"{schema_dir / path}: is not UTF-8 text") from None
    except OSError as error:
        raise SchemaError(f"{schema_dir / path}: cannot be read: {error.strerror}") from None
