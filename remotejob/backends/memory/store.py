"""Records in a dictionary, for tests and for trying a task without AWS."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice, takewhile

from remotejob.domain.changes import Change
from remotejob.domain.conditions import Item, Value, holds
from remotejob.domain.ids import is_job_id
from remotejob.domain.record import JobRecord
from remotejob.domain.transactions import (
    STEPS_AT_MOST,
    Conflict,
    Count,
    Erase,
    Key,
    Put,
    Step,
    applied,
    checked_record,
    key_of,
    no_job_id,
    number,
    readable_note,
    readable_record,
    record_key,
    record_of,
)
from remotejob.domain.unreadable import SkippedItems, reading_item
from remotejob.names import Field
from remotejob.ports import Mark, Refused, Updated


class MemoryStore:
    """A `JobStore` in memory, with the DynamoDB semantics that changes rely on."""

    def __init__(self, *, skipped: SkippedItems | None = None) -> None:
        """`skipped` counts what its readers leave out, because it cannot be read."""
        self._skipped = SkippedItems() if skipped is None else skipped
        self._lock = threading.RLock()
        self._items: dict[Key, dict[str, Value]] = {}
        self._partitions: defaultdict[str, list[str]] = defaultdict(list)
        self._marks: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)

    def put_new(self, record: JobRecord) -> Updated | Refused:
        with self._lock:
            there = self._items.get(record_key(record.id))
            if there is not None:
                return Refused(record_of(there))
            self._put(record_key(record.id), record.to_item())
            return Updated(record)

    def put_fresh(self, records: Sequence[JobRecord]) -> None:
        for record in records:
            self.put_new(record)

    def get(self, job_id: str) -> JobRecord | None:
        item = self.item(record_key(job_id)) if is_job_id(job_id) else None
        return None if item is None else checked_record(item)

    def get_many(self, job_ids: Sequence[str]) -> list[JobRecord]:
        wanted = dict.fromkeys(job_ids)
        return [record for job_id in wanted if (record := self._readable(job_id)) is not None]

    def _readable(self, job_id: str) -> JobRecord | None:
        if not is_job_id(job_id):
            self._skipped.add(no_job_id(job_id))
            return None
        item = self.item(record_key(job_id))
        return None if item is None else readable_record(item, self._skipped)

    def update(self, change: Change) -> Updated | Refused:
        with self._lock:
            item_key = record_key(change.job_id)
            item = self._items.get(item_key)
            if item is None:
                return Refused(None)
            if not holds(change.condition.expression, item, change.values):
                return Refused(record_of(item))
            with reading_item(item_key.partition, item_key.name):
                changed = applied(change, item)
            self._put(item_key, changed)
            return Updated(JobRecord.from_item(changed))

    def transact(self, steps: Sequence[Step]) -> Conflict | None:
        keys = [key_of(step) for step in steps]
        assert len(set(keys)) == len(keys), "DynamoDB refuses two steps on one item"
        assert len(steps) <= STEPS_AT_MOST
        with self._lock:
            for number_of, (step, key) in enumerate(zip(steps, keys, strict=True)):
                item = self._items.get(key)
                condition = step.condition
                if condition and not holds(condition.expression, item or {}, step.values):
                    return Conflict(number_of, item)
            for key, content in [
                (key, self._after(step, key)) for step, key in zip(steps, keys, strict=True)
            ]:
                if content is not None:
                    self._put(key, content)
            for step, key in zip(steps, keys, strict=True):
                if isinstance(step, Erase):
                    self._erase(key)
        return None

    def _after(self, step: Step, key: Key) -> Item | None:
        """The item as a step leaves it; None for a step that puts none.

        Raises: UnreadableItem, before any step of its transaction is carried out.
        """
        with reading_item(key.partition, key.name):
            match step:
                case Change():
                    return applied(step, self._items[key])
                case Put():
                    return step.content
                case Count():
                    item = dict(self._items.get(key, {}))
                    for name, by in step.add.items():
                        item[name] = number(item.get(name, 0)) + by
                    return item
        return None

    def item(self, key: Key) -> Item | None:
        with self._lock:
            return self._items.get(key)

    def items(
        self,
        partition: str,
        prefix: str,
        *,
        at_a_time: int | None = None,  # noqa: ARG002 (there are no requests to save)
    ) -> Iterator[tuple[str, Item]]:
        with self._lock:
            names = self._partitions[partition]
            first = bisect_left(names, prefix)
            matching = takewhile(lambda name: name.startswith(prefix), islice(names, first, None))
            found = [(name, self._items[Key(partition, name)]) for name in matching]
        return iter(found)

    def attention(self, kind: str, shard: int, *, until_ms: int) -> Iterator[Mark]:
        with self._lock:
            marks = list(self._marks[f"{kind}#{shard}"])
        for at_ms, job_id in marks:
            if at_ms > until_ms:
                return
            yield Mark(job_id, at_ms)

    def listing(self, partition: str, *, after: str | None = None) -> Iterator[JobRecord]:
        with self._lock:
            ids = list(self._partitions[partition])
        for name in reversed(ids) if after is None else ids[bisect_right(ids, after) :]:
            item = self.item(Key(partition, name))
            if item and (record := readable_record(item, self._skipped)) is not None:
                yield record

    def put_note(self, job_id: str, name: str, content: str, *, expires_s: int) -> None:
        with self._lock:
            self._put(Key(job_id, name), {Field.CONTENT: content, Field.EXPIRES: expires_s})

    def notes(self, job_id: str, prefix: str) -> Iterator[tuple[str, str]]:
        for name, item in self.items(job_id, prefix):
            if (content := readable_note(job_id, name, item, self._skipped)) is not None:
                yield name, content

    def _put(self, key: Key, content: Item) -> None:
        before = self._items.get(key)
        if before is None:
            insort(self._partitions[key.partition], key.name)
        item = {**content, Field.PK: key.partition, Field.SK: key.name}
        self._items[key] = item
        self._reindex(key.name, before or {}, item)

    def _erase(self, key: Key) -> None:
        before = self._items.pop(key, None)
        if before is not None:
            self._partitions[key.partition].remove(key.name)
            self._reindex(key.name, before, {})

    def _reindex(self, job_id: str, before: Item, after: Item) -> None:
        old, new = _mark(job_id, before), _mark(job_id, after)
        if old == new:
            return
        if old is not None:
            self._marks[old[0]].remove(old[1])
        if new is not None:
            insort(self._marks[new[0]], new[1])


def _mark(job_id: str, item: Item) -> tuple[str, tuple[int, str]] | None:
    kind, at = item.get(Field.ATTENTION), item.get(Field.ATTENTION_AT)
    # an index holds no item whose attributes have other types than its keys
    if not isinstance(kind, str) or not isinstance(at, int):
        return None
    return kind, (at, job_id)
