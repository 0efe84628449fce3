"""Records in a dictionary."""

from __future__ import annotations

import threading
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterator, Sequence

from remotejob.domain.changes import Change
from remotejob.domain.conditions import Item, Value
from remotejob.domain.ids import partition_of
from remotejob.domain.record import JobRecord
from remotejob.names import Field
from remotejob.ports import Mark, Refused, Updated


class MemoryStore:
    """A `JobStore` in memory, with the semantics of DynamoDB that the changes rely on."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._items: dict[str, dict[str, Value]] = {}
        self._partitions: defaultdict[str, list[str]] = defaultdict(list)
        self._notes: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self._marks: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)

    def put_new(self, record: JobRecord) -> JobRecord | None:
        with self._lock:
            there = self._items.get(record.id)
            if there is not None:
                return JobRecord.from_item(there)
            self._put(record)
            return None

    def put_fresh(self, records: Sequence[JobRecord]) -> list[str]:
        with self._lock:
            for record in records:
                self._put(record)
        return []

    def get(self, job_id: str) -> JobRecord | None:
        with self._lock:
            item = self._items.get(job_id)
            return None if item is None else JobRecord.from_item(item)

    def get_many(self, job_ids: Sequence[str]) -> list[JobRecord]:
        wanted = dict.fromkeys(job_ids)
        return [record for job_id in wanted if (record := self.get(job_id)) is not None]

    def update(self, change: Change) -> Updated | Refused:
        with self._lock:
            item = self._items.get(change.job_id)
            if item is None:
                return Refused(None)
            if not change.condition.expression.holds(item, change.values):
                return Refused(JobRecord.from_item(item))
            changed = {**item, **change.set}
            for name, by in change.add.items():
                before = changed.get(name, 0)
                assert isinstance(before, int)
                changed[name] = before + by
            for name in change.remove:
                changed.pop(name, None)
            self._items[change.job_id] = changed
            self._reindex(change.job_id, item, changed)
            return Updated(JobRecord.from_item(changed))

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
            if (record := self.get(job_id)) is not None:
                yield record

    def put_note(self, job_id: str, name: str, content: str, *, expires_s: int) -> None:  # noqa: ARG002 (memory forgets with the process)
        with self._lock:
            self._notes[job_id][name] = content

    def notes(self, job_id: str, prefix: str) -> Iterator[tuple[str, str]]:
        with self._lock:
            notes = sorted(self._notes[job_id].items())
        return ((name, content) for name, content in notes if name.startswith(prefix))

    def _put(self, record: JobRecord) -> None:
        item = record.to_item()
        self._items[record.id] = item
        insort(self._partitions[partition_of(record.id)], record.id)
        self._reindex(record.id, {}, item)

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
    assert isinstance(kind, str)
    assert isinstance(at, int)
    return kind, (at, job_id)
