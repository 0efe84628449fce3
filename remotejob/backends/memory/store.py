"""Records in a dictionary, for tests and for trying a task without AWS."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice, takewhile

from remotejob.domain.changes import Change
from remotejob.domain.conditions import Item, Value
from remotejob.domain.record import JobRecord
from remotejob.domain.transactions import (
    STEPS_AT_MOST,
    Check,
    Conflict,
    Count,
    Erase,
    Key,
    Put,
    Step,
    applied,
    key_of,
    number,
    readable_record,
    record_key,
    record_of,
    text,
)
from remotejob.names import Field
from remotejob.ports import Mark, Refused, Updated


class MemoryStore:
    """A `JobStore` in memory, with the DynamoDB semantics that changes rely on."""

    def __init__(self) -> None:
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
        item = self.item(record_key(job_id))
        return None if item is None else record_of(item)

    def get_many(self, job_ids: Sequence[str]) -> list[JobRecord]:
        wanted = dict.fromkeys(job_ids)
        return [record for job_id in wanted if (record := self._readable(job_id)) is not None]

    def _readable(self, job_id: str) -> JobRecord | None:
        item = self.item(record_key(job_id))
        return None if item is None else readable_record(item)

    def update(self, change: Change) -> Updated | Refused:
        with self._lock:
            item = self._items.get(record_key(change.job_id))
            if item is None:
                return Refused(None)
            if not change.condition.expression.holds(item, change.values):
                return Refused(record_of(item))
            changed = applied(change, item)
            self._put(record_key(change.job_id), changed)
            return Updated(JobRecord.from_item(changed))

    def transact(self, steps: Sequence[Step]) -> Conflict | None:
        keys = [key_of(step) for step in steps]
        assert len(set(keys)) == len(keys), "DynamoDB refuses two steps on one item"
        assert len(steps) <= STEPS_AT_MOST
        with self._lock:
            for number_of, (step, key) in enumerate(zip(steps, keys, strict=True)):
                item = self._items.get(key)
                condition = step.condition
                if condition and not condition.expression.holds(item or {}, step.values):
                    return Conflict(number_of, item)
            for step, key in zip(steps, keys, strict=True):
                self._carry_out(step, key)
        return None

    def _carry_out(self, step: Step, key: Key) -> None:
        match step:
            case Change():
                self._put(key, applied(step, self._items[key]))
            case Put():
                self._put(key, step.content)
            case Erase():
                self._erase(key)
            case Count():
                item = dict(self._items.get(key, {}))
                for name, by in step.add.items():
                    item[name] = number(item.get(name, 0)) + by
                self._put(key, item)
            case Check():
                pass

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
        for job_id in reversed(ids) if after is None else ids[bisect_right(ids, after) :]:
            if (record := self._readable(job_id)) is not None:
                yield record

    def put_note(self, job_id: str, name: str, content: str, *, expires_s: int) -> None:
        with self._lock:
            self._put(Key(job_id, name), {Field.CONTENT: content, Field.EXPIRES: expires_s})

    def notes(self, job_id: str, prefix: str) -> Iterator[tuple[str, str]]:
        for name, item in self.items(job_id, prefix):
            yield name, text(item[Field.CONTENT])

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
    if kind is None or at is None:
        return None
    return text(kind), (number(at), job_id)
