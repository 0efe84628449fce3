"""DynamoDB's items: their sizes, and the values it refuses.

Source: Amazon DynamoDB Developer Guide, "DynamoDB item sizes and formats", "Supported data types
and naming rules in Amazon DynamoDB" and "Quotas in Amazon DynamoDB".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

MOST_BYTES: Final = 400 * 1024
_MOST_DIGITS: Final = 38
_DEEPEST: Final = 32
_NAME_BYTES: Final = 64 * 1024
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_KEY_BYTES: Final = (2048, 1024)
"""Of a partition key, and of a sort key."""


def item_bytes(item: Mapping[str, Any]) -> int:
    """The size that DynamoDB counts: names in UTF-8, and values."""
    return sum(_text_bytes(name) + value_bytes(value) for name, value in item.items())


def value_bytes(typed: Mapping[str, Any]) -> int:
    """The size of one value; 0 for what is none, which `value_faults` says."""
    if len(typed) != 1:
        return 0
    ((kind, value),) = typed.items()
    match kind:
        case "S":
            return _text_bytes(value)
        case "N":
            return 2 + (len(value) + 1) // 2
        case "B":
            return len(value)
        case "SS" | "NS" | "BS":
            return sum(value_bytes({kind[0]: one}) for one in value)
        case "L":
            return 3 + sum(1 + value_bytes(one) for one in value)
        case "M":
            return 3 + sum(1 + _text_bytes(name) + value_bytes(one) for name, one in value.items())
    return 1


def item_faults(item: Mapping[str, Any], place: str) -> Iterator[str]:
    """What DynamoDB refuses in an item that is written."""
    size = item_bytes(item)
    if size > MOST_BYTES:
        yield f"{place} has {size:,} bytes, more than {MOST_BYTES:,}"
    for name, value in item.items():
        if not 1 <= _text_bytes(name) <= _NAME_BYTES:
            yield f"{place} has an attribute whose name has {len(name):,} characters"
        yield from value_faults(value, f"{place}.{name}")


def value_faults(typed: Any, place: str, depth: int = 1) -> Iterator[str]:
    """What DynamoDB refuses in a value."""
    if not isinstance(typed, Mapping) or len(typed) != 1:
        yield f"{place} is {typed!r:.80}, and not one value with its type"
        return
    ((kind, value),) = typed.items()
    match kind:
        case "S" | "B" | "BOOL":
            return
        case "N":
            yield from _number_faults(value, place)
        case "NULL":
            if value is not True:
                yield f"{place} is NULL with {value!r}"
        case "SS" | "NS" | "BS":
            yield from _set_faults(kind, value, place)
        case "L" | "M":
            if depth > _DEEPEST:
                yield f"{place} is more than {_DEEPEST} levels deep"
                return
            for one in value.values() if kind == "M" else value:
                yield from value_faults(one, place, depth + 1)
        case _:
            yield f"{place} has the type {kind!r}, which DynamoDB has not"


def key_faults(key: Mapping[str, Any], place: str, *, sort: str | None) -> Iterator[str]:
    """What DynamoDB refuses as a primary key; `sort` names its sort key, where that is known."""
    if not 1 <= len(key) <= len(_KEY_BYTES):
        yield f"{place} has {len(key)} attributes"
    for name, typed in key.items():
        kind = next(iter(typed))
        if kind not in ("S", "N", "B"):
            yield f"{place}.{name} has the type {kind}, which no key has"
        most = _KEY_BYTES[1 if name == sort else 0]
        if kind != "N" and not 1 <= value_bytes(typed) <= most:
            yield f"{place}.{name} has {value_bytes(typed):,} bytes, and not 1 to {most:,}"
        yield from value_faults(typed, f"{place}.{name}")


def _number_faults(value: Any, place: str) -> Iterator[str]:
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        yield f"{place} is {value!r:.80}, and no number in text"
        return
    digits, _, exponent = value.lower().lstrip("+-").partition("e")
    significant = digits.replace(".", "").strip("0")
    if len(significant) > _MOST_DIGITS:
        yield f"{place} has {len(significant)} digits, more than {_MOST_DIGITS}"
    whole = digits.partition(".")[0].lstrip("0")
    if significant and not -130 <= int(exponent or 0) + len(whole) - 1 <= 125:
        yield f"{place} is {value:.80}, beyond what a number can be"


def _set_faults(kind: str, value: Any, place: str) -> Iterator[str]:
    if not value:
        yield f"{place} is an empty set"
        return
    if len(value) != len(set(value)):
        yield f"{place} is a set that has a value twice"
    if kind == "NS":
        for one in value:
            yield from _number_faults(one, place)


def _text_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
