"""Functions of texts and bytes."""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

from datagen.expression import patterns
from datagen.expression.columnwise import Function, lenient, strict
from datagen.expression.types import as_text


def _upper(text: str) -> str:
    """Letter by letter: `ß` stays, as it does in PostgreSQL."""
    if text.isascii():
        return text.upper()
    return "".join(c.upper() if len(c.upper()) == 1 else c for c in text)


def _left(text: str, count: int) -> str:
    return text[:count]


def _right(text: str, count: int) -> str:
    return text[max(len(text) - count, 0) :] if count >= 0 else text[-count:]


def _pad(text: str, length: int, fill: str) -> str:
    """What has to be added to reach the length."""
    missing = max(length - len(text), 0)
    return (fill * (missing // max(len(fill), 1) + 1))[:missing]


def _lpad(text: str, length: int, fill: str = " ") -> str:
    return (_pad(text, length, fill) + text)[:length]


def _rpad(text: str, length: int, fill: str = " ") -> str:
    return (text + _pad(text, length, fill))[:length]


def _substring(text: str, start: int | str, count: int | None = None) -> str | None:
    """From a position, 1 for the first, or the part that a pattern finds."""
    if isinstance(start, str):
        found = patterns.posix(start).search(text)
        return found and (found[1] if found.re.groups else found[0])
    end = None if count is None else max(start - 1 + count, 0)
    return text[max(start - 1, 0) : end]


def _split_part(text: str, delimiter: str, number: int) -> str:
    parts = text.split(delimiter)
    index = number - 1 if number > 0 else len(parts) + number
    return parts[index] if 0 <= index < len(parts) else ""


def _translate(text: str, characters: str, replacements: str) -> str:
    padded = list(replacements) + [""] * len(characters)
    return text.translate({ord(c): r for c, r in zip(characters, padded, strict=False)})


def _replace_matches(text: str, pattern: str, replacement: str, flags: str = "") -> str:
    compiled = patterns.posix(pattern, "i" in flags)
    template = replacement.replace(r"\&", r"\g<0>")
    return compiled.sub(template, text, count=0 if "g" in flags else 1)


def _format(pattern: str, *arguments: Any) -> str:
    given = iter("" if a is None else as_text(a) for a in arguments)
    return re.sub(r"%([%s])", lambda m: "%" if m[1] == "%" else next(given), pattern)


def _joined(separator: str | None, *parts: Any) -> str | None:
    if separator is None:
        return None
    return separator.join(as_text(part) for part in parts if part is not None)


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _hash(name: str) -> Callable[[Any], bytes]:
    return lambda value: hashlib.new(name, _bytes(value), usedforsecurity=False).digest()


def _encode(value: bytes, form: str) -> str:
    return {"hex": bytes.hex, "base64": lambda v: b64encode(v).decode()}[form](value)


def _decode(text: str, form: str) -> bytes:
    return {"hex": bytes.fromhex, "base64": b64decode}[form](text)


FUNCTIONS: dict[str, Function] = {
    "length": strict(len, "int64"),
    "char_length": strict(len, "int64"),
    "character_length": strict(len, "int64"),
    "octet_length": strict(lambda value: len(_bytes(value)), "int64"),
    "lower": strict(str.lower),
    "upper": strict(_upper),
    "initcap": strict(lambda text: re.sub(r"[^\W_]+", lambda m: m[0].capitalize(), text)),
    "btrim": strict(lambda text, characters=" ": text.strip(characters)),
    "ltrim": strict(lambda text, characters=" ": text.lstrip(characters)),
    "rtrim": strict(lambda text, characters=" ": text.rstrip(characters)),
    "left": strict(_left),
    "right": strict(_right),
    "lpad": strict(_lpad),
    "rpad": strict(_rpad),
    "substr": strict(_substring),
    "substring": strict(_substring),
    "replace": strict(lambda text, old, new: text.replace(old, new) if old else text),
    "translate": strict(_translate),
    "repeat": strict(lambda text, times: text * max(times, 0)),
    "reverse": strict(lambda text: text[::-1]),
    "split_part": strict(_split_part),
    "strpos": strict(lambda text, part: text.find(part) + 1, "int64"),
    "position": strict(lambda text, part: text.find(part) + 1, "int64"),
    "starts_with": strict(lambda text, start: text.startswith(start), bool),
    "regexp_replace": strict(_replace_matches),
    "regexp_like": strict(lambda text, p: patterns.posix(p).search(text) is not None, bool),
    "similar_to_escape": strict(patterns.similar),
    "concat": lenient(lambda *parts: _joined("", *parts)),
    "concat_ws": lenient(_joined),
    "format": lenient(_format),
    "to_hex": strict(lambda number: format(number, "x")),
    "ascii": strict(lambda text: ord(text[0]) if text else 0, "int64"),
    "chr": strict(chr),
    "md5": strict(lambda value: _hash("md5")(value).hex()),
    "sha256": strict(_hash("sha256")),
    "sha512": strict(_hash("sha512")),
    "encode": strict(_encode),
    "decode": strict(_decode),
    "convert_to": strict(lambda text, _: text.encode()),
}
