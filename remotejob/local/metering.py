"""Count the capacity units DynamoDB would bill for requests, from the sizes of the items.

Queries and scans are not metered, because only their answers show what they read.

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

from remotejob.local.access.calls import Call
from remotejob.local.gaps.dynamodb import LOCK

_WRITE_UNIT_BYTES: Final = 1024
_READ_UNIT_BYTES: Final = 4096
_IN_TRANSACTION: Final = 2
_NOTHING: Final = object()

Kind = str
WRITE_UNITS: Final = "write units"
READ_UNITS: Final = "read units"
INDEX_WRITES: Final = "index writes"
"""Each costs one more write unit, if the index entry is at most 1 KB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Access:
    table: str
    key: Mapping[str, Any]
    weight: float = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class _Snapshot:
    """An item at one moment."""

    size: int
    entries: Mapping[str, Any]
    """By index: the item's key values and, unless the index holds only keys, its attributes."""


class Meter:
    """Counts units by kind and caller."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._lock = threading.Lock()
        self._counts: dict[tuple[Kind, str], float] = {}

    def counts(self) -> list[tuple[Kind, str, float]]:
        """The units since the last reset."""
        with self._lock:
            return sorted((*key, count) for key, count in self._counts.items())

    def reset(self) -> None:
        """Reset the counts to zero."""
        with self._lock:
            self._counts.clear()

    def before(self, call: Call, who: str) -> Callable[[], None]:
        """Note the items a request touches. Call the result afterwards to compare and count."""
        if call.service != "dynamodb":
            return lambda: None
        backend = dynamodb_backends[self._account][call.region]
        try:
            with LOCK:
                reads = [(a, _first_snapshot(backend, a)) for a in _reads(call)]
                writes = [(a, _first_snapshot(backend, a)) for a in _writes(call, backend)]
        except (KeyError, TypeError, AttributeError):
            # malformed, or an unknown table: DynamoDB refuses it and bills nothing
            return lambda: None

        def after() -> None:
            read = sum(a.weight * _units(old.size, _READ_UNIT_BYTES) for a, old in reads)
            written, indexed = 0.0, 0
            for access, old in writes:
                with LOCK:
                    new = _snapshot(backend, access)
                written += access.weight * _units(max(old.size, new.size), _WRITE_UNIT_BYTES)
                indexed += _index_writes(old, new)
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


def _first_snapshot(backend: DynamoDBBackend, access: _Access) -> _Snapshot:
    """Raises: KeyError, when there is no such table, or the key does not fit it."""
    if set(access.key) != set(_key_names(backend.tables[access.table])):
        raise KeyError(access.key)
    return _snapshot(backend, access)


def _snapshot(backend: DynamoDBBackend, access: _Access) -> _Snapshot:
    table = backend.tables.get(access.table)
    if table is None:
        return _Snapshot(size=0, entries={})  # deleted meanwhile
    item = backend.get_item(access.table, dict(access.key))
    if item is None:
        return _Snapshot(size=0, entries={})
    attributes = item.to_json()["Attributes"]
    entries: dict[str, Any] = {}
    for index in table.global_indexes:
        keys = [attributes.get(name) for name in index.schema_key_attrs]
        if None not in keys:
            keys_only = index.projection.get("ProjectionType") == "KEYS_ONLY"
            entries[index.name] = (keys, None if keys_only else attributes)
    return _Snapshot(size=_item_bytes(attributes), entries=entries)


def _index_writes(before: _Snapshot, after: _Snapshot) -> int:
    """A new, deleted or changed entry costs one write; one with a changed key costs two."""
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
