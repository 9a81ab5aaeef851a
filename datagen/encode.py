"""Columns to Arrow, and Arrow to PostgreSQL's binary COPY format (pgpq); rows as text otherwise.

Each SQL type has one Arrow type whose encoding PostgreSQL reads as that type: uuid is 16 bytes,
inet is the 8 bytes of an IPv4 host, numeric a decimal with the column's scale. A table with a
column of any other type is copied as text, which PostgreSQL reads for every type.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from pgpq import ArrowToPostgresBinaryEncoder
from pgpq.encoders import StringEncoderBuilder
from pgpq.schema import Jsonb

from datagen.generators import base_type
from datagen.values import Array, Mask, Values
from harness.catalog.model import Catalog, Column, Name
from harness.errors import HarnessError

_SCALE = re.compile(r"numeric\(\d+,\s*(\d+)\)")
_DEFAULT_SCALE = 6
PIECE = 5_000
"""Rows that are encoded at once."""


def is_binary(column: Column, catalog: Catalog) -> bool:
    """Whether a column's type has an encoding here."""
    base = base_type(column.type, catalog)
    return base == "text[]" or base in _ARRAYS.keys() - {"array"}


def rows(columns: Sequence[tuple[Column, Values]], catalog: Catalog) -> Iterator[tuple[Any, ...]]:
    """The rows for a COPY in text format, as psycopg's Copy.write_row takes them."""
    return zip(*(_readable(column, values, catalog) for column, values in columns), strict=True)


def _readable(column: Column, values: Values, catalog: Catalog) -> list[Any]:
    make = _READABLE.get(base_type(column.type, catalog), _as_it_is)
    return [None if n else make(v) for v, n in zip(values.data, values.null, strict=True)]


def _as_it_is(value: Any) -> Any:
    if isinstance(value, np.void):
        return str(uuid.UUID(bytes=value.tobytes()))
    return value.item() if isinstance(value, np.generic) else value


def _moment(value: Any) -> str:
    return f"{np.datetime64(value, 'us')}+00"


def _span(value: Any) -> str:
    return f"{np.timedelta64(value, 'us').astype('int64')} microseconds"


def _clock(value: Any) -> str:
    return str(np.datetime64(int(value), "us")).partition("T")[2]


def encode(columns: Sequence[tuple[Column, Values]], catalog: Catalog) -> bytes:
    """The rows as one binary COPY stream. HarnessError where a type has no encoding."""
    return b"".join(stream(columns, catalog))


def stream(columns: Sequence[tuple[Column, Values]], catalog: Catalog) -> Iterator[bytes]:
    """The same in pieces of some thousand rows, of which the server takes one while the next is
    made of its values, and which never stand in memory together."""
    batches = _batches(columns, catalog)
    first = next(batches)
    encoders = {
        column.name: _encoder(column, field, catalog)
        for (column, _), field in zip(columns, first.schema, strict=True)
    }
    encoder = ArrowToPostgresBinaryEncoder.new_with_encoders(first.schema, encoders)
    yield encoder.write_header()
    for batch in chain([first], batches):
        yield encoder.write_batch(batch)
    yield encoder.finish()


def _batches(columns: Sequence[tuple[Column, Values]], catalog: Catalog) -> Iterator[Any]:
    """The rows in Arrow, piece by piece; one of no rows where there are none."""
    names = [column.name for column, _ in columns]
    makers = [_maker(column, catalog) for column, _ in columns]
    rows = len(columns[0][1])
    for first in range(0, max(rows, 1), PIECE):
        piece = slice(first, first + PIECE)
        arrays = [
            make(Values(values.data[piece], values.null[piece]))
            for make, (_, values) in zip(makers, columns, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(arrays, names)


def _encoder(column: Column, field: Any, catalog: Catalog) -> Any:
    if base_type(column.type, catalog) == "jsonb":
        return StringEncoderBuilder.new_with_output(field, Jsonb())
    return ArrowToPostgresBinaryEncoder.infer_encoder(field)


def _maker(column: Column, catalog: Catalog) -> Callable[[Values], Any]:
    """What makes Arrow of a column's values."""
    base, full = base_type(column.type, catalog), _full_type(column, catalog)
    make = _ARRAYS.get("array" if base.endswith("[]") else base)
    if make is None:
        raise HarnessError(f"column {column.name}: type {base} has no binary encoding")

    def array(values: Values) -> Any:
        none = values.null.all()
        data = np.full(len(values), None, object) if none else values.data
        try:
            return make(data, values.null, full)
        except (ValueError, TypeError, OverflowError, pa.ArrowException) as error:
            raise HarnessError(f"column {column.name}: not {column.type}: {error}") from None

    return array


def _full_type(column: Column, catalog: Catalog) -> str:
    domain = catalog.domains.get(Name.parse(column.type))
    return domain.base_type if domain else column.type


def _plain(arrow_type: Any, dtype: str) -> Callable[[Array, Mask, str], Any]:
    def make(data: Array, null: Mask, _: str) -> Any:
        if null.all():
            return pa.nulls(len(data), arrow_type)
        return pa.array(_typed(data, null, dtype), arrow_type, mask=null)

    return make


def _typed(data: Array, null: Mask, dtype: str) -> Array:
    if data.dtype == object:
        filler = data[np.flatnonzero(~null)[0]]
        data = np.array([filler if n else v for v, n in zip(data, null, strict=True)])
    if dtype.startswith("int") and data.dtype.kind == "f":
        data = np.rint(np.where(null, 0, data))
    return data.astype(dtype)


def _objects(arrow_type: Any) -> Callable[[Array, Mask, str], Any]:
    def make(data: Array, null: Mask, _: str) -> Any:
        return pa.array([None if n else v for v, n in zip(data, null, strict=True)], arrow_type)

    return make


def _text(data: Array, null: Mask, _: str) -> Any:
    mask = null if null.any() else None
    try:
        return pa.array(data, pa.string(), mask=mask)
    except (pa.ArrowTypeError, pa.ArrowInvalid, pa.ArrowNotImplementedError):  # not all are texts
        items = [None if n else str(v) for v, n in zip(data, null, strict=True)]
        return pa.array(items, pa.string())


def _uuid(data: Array, null: Mask, _: str) -> Any:
    if data.dtype != "V16":
        return pa.array(
            [None if n else bytes(v) for v, n in zip(data, null, strict=True)], pa.binary(16)
        )
    valid = None
    if null.any():
        valid = pa.py_buffer(np.packbits(~null, bitorder="little").tobytes())
    buffers = [valid, pa.py_buffer(np.ascontiguousarray(data))]
    return pa.Array.from_buffers(pa.binary(16), len(data), buffers)


def _numeric(data: Array, null: Mask, type_name: str) -> Any:
    scale = _SCALE.search(type_name)
    places = int(scale[1]) if scale else _DEFAULT_SCALE
    if null.all():
        return pa.nulls(len(data), pa.decimal128(38, places))
    units = np.rint(np.where(null, 0, _typed(data, null, "float64")) * 10**places).astype("int64")
    words = np.column_stack((units, units >> 63))
    valid = None
    if null.any():
        valid = pa.py_buffer(np.packbits(~null, bitorder="little").tobytes())
    buffers = [valid, pa.py_buffer(np.ascontiguousarray(words))]
    return pa.Array.from_buffers(pa.decimal128(38, places), len(data), buffers)


def _inet(data: Array, null: Mask, _: str) -> Any:
    head = bytes((2, 32, 0, 4))  # IPv4, 32 bits, a host, four bytes of address
    items = [
        None if n else head + ipaddress.IPv4Address(v).packed
        for v, n in zip(data, null, strict=True)
    ]
    return pa.array(items, pa.binary(8))


_READABLE: dict[str, Callable[[Any], Any]] = {
    "timestamp with time zone": _moment,
    "timestamp without time zone": lambda value: str(np.datetime64(value, "us")),
    "date": lambda value: str(np.datetime64(value, "D")),
    "time without time zone": _clock,
    "time with time zone": _clock,
    "interval": _span,
}
_ARRAYS: dict[str, Callable[[Array, Mask, str], Any]] = {
    "uuid": _uuid,
    "numeric": _numeric,
    "inet": _inet,
    "boolean": _plain(pa.bool_(), "bool"),
    "smallint": _plain(pa.int16(), "int16"),
    "integer": _plain(pa.int32(), "int32"),
    "bigint": _plain(pa.int64(), "int64"),
    "double precision": _plain(pa.float64(), "float64"),
    "real": _plain(pa.float32(), "float32"),
    "timestamp with time zone": _plain(pa.timestamp("us", "UTC"), "datetime64[us]"),
    "timestamp without time zone": _plain(pa.timestamp("us"), "datetime64[us]"),
    "date": _plain(pa.date32(), "datetime64[D]"),
    "time without time zone": _plain(pa.time64("us"), "int64"),
    "interval": _plain(pa.duration("us"), "timedelta64[us]"),
    "bytea": _objects(pa.binary()),
    "array": _objects(pa.list_(pa.string())),
    "text": _text,
    "character varying": _text,
    "character": _text,
    "citext": _text,
    "jsonb": _text,
    "json": _text,
}
