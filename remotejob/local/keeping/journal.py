"""What changed since the last save, as rows to write."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from moto.dynamodb.models.dynamo_type import Item
from moto.sqs.models import Message

from remotejob.local.gaps.dynamodb import LOCK
from remotejob.local.keeping import messages
from remotejob.local.keeping.changes import Place

Attributes = dict[str, Any]


@dataclass(kw_only=True)
class Batch:
    """Changes, of which only the last of each item, message or object is left."""

    items: dict[tuple[str, Place], Attributes | None] = field(default_factory=dict)
    messages: dict[tuple[str, str], messages.Row | None] = field(default_factory=dict)
    objects: dict[tuple[str, str], None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.items or self.messages or self.objects)


class Journal:
    """Collects changes of the tables, queues and buckets that are kept.

    A cut is exact: a batch has all changes before one moment, and none after it. Only for objects
    it says no more than which to look at, so they are saved as they are a little later.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._batch = Batch()
        self._tables: set[str] = set()
        self._queues: set[str] = set()
        self._buckets: set[str] = set()

    def keep(self, *, tables: Iterable[str], queues: Iterable[str], buckets: Iterable[str]) -> None:
        """Collect the changes of these, too."""
        self._tables.update(tables)
        self._queues.update(queues)
        self._buckets.update(buckets)

    def item(self, table: str, place: Place, item: Item | None) -> None:
        """As in `changes.Journal`."""
        if table in self._tables:
            # a copy: moto changes items in place
            attributes = None if item is None else item.to_json()["Attributes"]
            with self._lock:
                self._batch.items[table, place] = attributes

    def message(self, queue: str, message: Message, *, returns_at: float) -> None:
        """As in `changes.Journal`."""
        if queue in self._queues:
            row = messages.row(message, returns_at=returns_at)
            with self._lock:
                self._batch.messages[queue, message.id] = row

    def message_gone(self, queue: str, message_id: str) -> None:
        """As in `changes.Journal`."""
        if queue in self._queues:
            with self._lock:
                self._batch.messages[queue, message_id] = None

    def object(self, bucket: str, key: str) -> None:
        """As in `changes.Journal`."""
        if bucket in self._buckets:
            with self._lock:
                self._batch.objects[bucket, key] = None

    def cut(self) -> Batch:
        """Take everything collected so far, and of each transaction all or nothing."""
        with LOCK, self._lock:
            batch, self._batch = self._batch, Batch()
        return batch

    def put_back(self, batch: Batch) -> None:
        """Return a batch that was not saved, under what was collected since."""
        with self._lock:
            newer, self._batch = self._batch, batch
            batch.items.update(newer.items)
            batch.messages.update(newer.messages)
            batch.objects.update(newer.objects)
