"""What requests to DynamoDB would be billed for: units of capacity, from the sizes of the items.

Queries and scans are not metered: what they read is only known from their answers.

Source: Amazon DynamoDB Developer Guide, "DynamoDB read and write operations", "DynamoDB item sizes
and formats" and "Managing global secondary indexes: write throughput considerations".
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from moto.dynamodb.models import DynamoDBBackend, dynamodb_backends
from moto.dynamodb.models.table import Table

from remotejob.local.access.permissions import Call
from remotejob.local.gaps.dynamodb import LOCK

_WRITE_UNIT_BYTES: Final = 1024
_READ_UNIT_BYTES: Final = 4096
_IN_TRANSACTION: Final = 2
_NOTHING: Final = object()

Kind = str
WRITE_UNITS: Final = "write units"
READ_UNITS: Final = "read units"
INDEX_WRITES: Final = "index writes"
"""Each is a write unit more where its entry is at most 1 KB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Access:
    table: str
    key: Mapping[str, Any]
    weight: float = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """An item at one moment."""

    size: int
    entries: Mapping[str, Any]
    """By index: the values of its keys there and, unless it keeps nothing else, the item."""


class Meter:
    """Counts units by kind and by who asked."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._lock = threading.Lock()
        self._counts: dict[tuple[Kind, str], float] = {}

    def counts(self) -> list[tuple[Kind, str, float]]:
        """Since the last reset."""
        with self._lock:
            return sorted((*key, count) for key, count in self._counts.items())

    def reset(self) -> None:
        """Start from nothing."""
        with self._lock:
            self._counts.clear()

    def before(self, call: Call, who: str) -> Callable[[], None]:
        """Look at what a request touches. To be called after it: looks again, and counts."""
        if call.service != "dynamodb":
            return lambda: None
        backend = dynamodb_backends[self._account][call.region]
        try:
            with LOCK:
                reads = [(a, _first_seen(backend, a)) for a in _reads(call)]
                writes = [(a, _first_seen(backend, a)) for a in _writes(call, backend)]
        except (KeyError, TypeError, AttributeError):
            # no request of the API, or of no table there is: DynamoDB refuses it, and bills nothing
            return lambda: None

        def after() -> None:
            read = sum(a.weight * _units(seen.size, _READ_UNIT_BYTES) for a, seen in reads)
            written, indexed = 0.0, 0
            for access, seen in writes:
                with LOCK:
                    now = _seen(backend, access)
                written += access.weight * _units(max(seen.size, now.size), _WRITE_UNIT_BYTES)
                indexed += _index_writes(seen, now)
            counted = {READ_UNITS: read, WRITE_UNITS: written, INDEX_WRITES: indexed}
            with self._lock:
                for kind, units in counted.items():
                    if units:
                        self._counts[kind, who] = self._counts.get((kind, who), 0) + units

        return after


def _units(size: int, unit: int) -> int:
    return max(1, -(-size // unit))


def _reads(call: Call) -> Iterator[_Access]:
    asked = call.parameters
    if call.operation == "GetItem":
        yield _read(asked["TableName"], asked["Key"], asked)
    elif call.operation == "BatchGetItem":
        for table, wanted in asked["RequestItems"].items():
            for key in wanted["Keys"]:
                yield _read(table, key, wanted)


def _read(table: str, key: Mapping[str, Any], asked: Mapping[str, Any]) -> _Access:
    return _Access(table=table, key=key, weight=1 if asked.get("ConsistentRead") else 0.5)


def _writes(call: Call, backend: DynamoDBBackend) -> Iterator[_Access]:
    asked = call.parameters
    if call.operation == "PutItem":
        yield _put(backend, asked["TableName"], asked["Item"])
    elif call.operation in ("UpdateItem", "DeleteItem"):
        yield _Access(table=asked["TableName"], key=asked["Key"])
    elif call.operation == "BatchWriteItem":
        for table, wanted in asked["RequestItems"].items():
            for one in wanted:
                if "PutRequest" in one:
                    yield _put(backend, table, one["PutRequest"]["Item"])
                else:
                    yield _Access(table=table, key=one["DeleteRequest"]["Key"])
    elif call.operation == "TransactWriteItems":
        for one in asked["TransactItems"]:
            kind, step = next(iter(one.items()))
            if kind == "Put":
                yield _put(backend, step["TableName"], step["Item"], weight=_IN_TRANSACTION)
            else:
                yield _Access(table=step["TableName"], key=step["Key"], weight=_IN_TRANSACTION)


def _put(
    backend: DynamoDBBackend, table: str, item: Mapping[str, Any], *, weight: float = 1
) -> _Access:
    names = _key_names(backend.tables[table]) if table in backend.tables else []
    return _Access(
        table=table, key={name: item[name] for name in names if name in item}, weight=weight
    )


def _key_names(table: Table) -> list[str]:
    return [name for name in (table.hash_key_attr, table.range_key_attr) if name is not None]


def _first_seen(backend: DynamoDBBackend, access: _Access) -> _Seen:
    """Raises: KeyError, where there is no such table, or that is no key of it."""
    if set(access.key) != set(_key_names(backend.tables[access.table])):
        raise KeyError(access.key)
    return _seen(backend, access)


def _seen(backend: DynamoDBBackend, access: _Access) -> _Seen:
    table = backend.tables.get(access.table)
    if table is None:
        return _Seen(size=0, entries={})  # deleted meanwhile
    item = backend.get_item(access.table, dict(access.key))
    if item is None:
        return _Seen(size=0, entries={})
    attributes = item.to_json()["Attributes"]
    entries: dict[str, Any] = {}
    for index in table.global_indexes:
        keys = [attributes.get(name) for name in index.schema_key_attrs]
        if None not in keys:
            all_of_it = index.projection.get("ProjectionType") != "KEYS_ONLY"
            entries[index.name] = (keys, attributes if all_of_it else None)
    return _Seen(size=_item_bytes(attributes), entries=entries)


def _index_writes(before: _Seen, after: _Seen) -> int:
    """An entry that is new, gone or changed is one write; one whose key changed is two."""
    writes = 0
    for name in {*before.entries, *after.entries}:
        old, new = before.entries.get(name, _NOTHING), after.entries.get(name, _NOTHING)
        if old is _NOTHING or new is _NOTHING:
            writes += 1
        elif old != new:
            writes += 2 if old[0] != new[0] else 1
    return writes


def _item_bytes(attributes: Mapping[str, Any]) -> int:
    return sum(len(name.encode()) + _value_bytes(value) for name, value in attributes.items())


def _value_bytes(typed: Mapping[str, Any]) -> int:
    kind, value = next(iter(typed.items()))
    match kind:
        case "S":
            return len(value.encode())
        case "N":
            digits = value.strip("-").replace(".", "").strip("0")
            return 1 + (len(digits) + 1) // 2
        case "B":
            return len(base64.b64decode(value))
        case "SS" | "NS" | "BS":
            return 3 + sum(1 + _value_bytes({kind[0]: one}) for one in value)
        case "L":
            return 3 + sum(1 + _value_bytes(one) for one in value)
        case "M":
            return 3 + sum(
                1 + len(name.encode()) + _value_bytes(one) for name, one in value.items()
            )
    return 1  # a boolean, or null
