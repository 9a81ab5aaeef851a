"""Encoding by pieces gives the bytes that encoding at once gives, for every type."""

from __future__ import annotations

import numpy as np
import pytest

from datagen import encode
from datagen.values import Values, objects, of
from harness.catalog.model import Catalog, Column
from harness.errors import HarnessError

ROWS = 7
NULL = np.array([False, True, False, False, True, True, False])
COLUMNS = {
    "uuid": np.frombuffer(bytes(range(16 * ROWS)), "V16"),
    "numeric(8,2)": np.arange(ROWS) * 1.25 - 3,
    "inet": objects([f"192.0.2.{n}" for n in range(ROWS)]),
    "boolean": np.arange(ROWS) % 2 == 0,
    "smallint": np.arange(ROWS),
    "integer": np.arange(ROWS),
    "bigint": np.arange(ROWS) * 2**40,
    "double precision": np.arange(ROWS) / 3,
    "timestamp with time zone": np.arange(ROWS).astype("datetime64[us]"),
    "date": np.arange(ROWS).astype("datetime64[D]"),
    "time without time zone": np.arange(ROWS) * 10**6,
    "interval": np.arange(ROWS).astype("timedelta64[us]"),
    "bytea": objects([bytes([n]) * n for n in range(ROWS)]),
    "text": objects(["ä" * n for n in range(ROWS)]),
    "text[]": objects([["a"] * n for n in range(ROWS)]),
    "jsonb": objects([f"[{n}]" for n in range(ROWS)]),
}


@pytest.mark.parametrize("type_name", COLUMNS)
def test_pieces_are_the_whole(type_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    column, data = Column("c", type_name), COLUMNS[type_name]
    columns = [(column, of(data)), (Column("n", type_name), Values(data, NULL))]
    assert encode.is_binary(column, Catalog())
    whole = encode.encode(columns, Catalog())
    monkeypatch.setattr(encode, "PIECE", 3)
    assert len(list(encode.stream(columns, Catalog()))) == 5
    assert encode.encode(columns, Catalog()) == whole


def test_values_are_encoded_when_their_piece_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(encode, "PIECE", 2)
    values = of(objects([1, 2, "no number"]))
    pieces = encode.stream([(Column("c", "integer"), values)], Catalog())
    header, _ = next(pieces), next(pieces)
    assert header.startswith(b"PGCOPY")
    with pytest.raises(HarnessError, match="column c: not integer"):
        next(pieces)


def test_no_rows_are_a_file_without_rows() -> None:
    data = encode.encode([(Column("c", "integer"), of(np.arange(0)))], Catalog())
    assert data == b"PGCOPY\n\xff\r\n\x00" + bytes(8) + b"\xff\xff"


def test_texts_that_are_no_text_yet_are_made_so() -> None:
    column = Column("c", "text")
    numbers = Values(np.array([1, 2]), np.array([False, True]))
    texts = Values(objects(["1", None]), np.array([False, True]))
    made = [encode.encode([(column, values)], Catalog()) for values in (numbers, texts)]
    assert made[0] == made[1]
    mixed = of(objects([True, "a"]))
    assert encode.encode([(column, mixed)], Catalog()) == encode.encode(
        [(column, of(objects(["True", "a"])))], Catalog()
    )
