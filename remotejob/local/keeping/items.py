"""DynamoDB items as text, and back."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any, Final

from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table

from remotejob.local.gaps.dynamodb import LOCK, write
from remotejob.local.gaps.dynamodb_indexes import build_again
from remotejob.local.keeping.changes import Journal, Place

_BYTES: Final = "base64"


def place_text(place: Place) -> str:
    """The key of an item, as text."""
    return json.dumps([part.to_json() for part in place if part is not None])


def text(attributes: dict[str, Any]) -> str:
    """An item's attributes in DynamoDB's JSON."""
    return json.dumps(attributes, default=_encoded)


def load(table: Table, texts: Iterable[str], journal: Journal) -> tuple[int, int]:
    """Put items into a table, except where it has some already, which the journal gets.

    Returns how many were put, and how many do not fit the table's keys. Raises: ValueError, for a
    text that is no item.
    """
    loaded = unfit = 0
    with LOCK:
        for item in table.all_items():
            journal.item(table.name, (item.hash_key, item.range_key), item)
        for one in texts:
            kept = _item(table, json.loads(one, object_hook=_decoded))
            if kept is None:
                unfit += 1
            elif table.get_item(kept.hash_key, kept.range_key) is None:
                write(table, (kept.hash_key, kept.range_key), kept)
                loaded += 1
        build_again(table)
    return loaded, unfit


def _item(table: Table, attributes: dict[str, Any]) -> Item | None:
    parts = []
    for name, kind in (
        (table.hash_key_attr, table.hash_key_type),
        (table.range_key_attr, table.range_key_type),
    ):
        if name is not None:
            if kind not in attributes.get(name, ()):
                return None
            parts.append(DynamoType(attributes[name]))
    item = Item(parts[0], parts[1] if len(parts) > 1 else None, {})
    for name, value in attributes.items():
        # moto measures the whole item each time an attribute is set the usual way
        dict.__setitem__(item.attrs, name, DynamoType(value))
    return item


def _encoded(value: Any) -> Any:
    if not isinstance(value, bytes):
        raise TypeError(f"{type(value).__name__} in an item")
    return {_BYTES: base64.b64encode(value).decode()}


def _decoded(value: dict[str, Any]) -> Any:
    # no item has such an object: it gives the type of each value
    if len(value) == 1 and isinstance(value.get(_BYTES), str):
        return base64.b64decode(value[_BYTES])
    return value
