"""The ports as one run uses them: each request of the run is counted for its job's receipt.

Claims and commits do not pass here: what they cost is known from the record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from remotejob.domain.changes import Change
from remotejob.domain.conditions import Item
from remotejob.domain.record import JobRecord
from remotejob.domain.transactions import Conflict, Key, Step
from remotejob.domain.usage import Call, put_calls
from remotejob.names import Field
from remotejob.ports import (
    Address,
    Area,
    Capabilities,
    Depth,
    Installation,
    JobStore,
    Mark,
    ObjectStore,
    Outgoing,
    Received,
    Refused,
    Stored,
    Updated,
    WorkQueue,
)
from remotejob.worker.runs.usage import RunUsage


def counted(installation: Installation, usage: RunUsage) -> Installation:
    """The same system, with every request counted in `usage`."""
    return replace(
        installation,
        store=CountedStore(installation.store, usage),
        messages=CountedMessages(installation.messages, usage),
        files=CountedFiles(installation.files, usage),
    )


class CountedStore:
    """Counts updates and notes, the only writes of a run between its claim and its commit."""

    def __init__(self, store: JobStore, usage: RunUsage) -> None:
        self._store = store
        self._usage = usage

    def update(self, change: Change) -> Updated | Refused:
        outcome = self._store.update(change)
        self._usage.count({Call.UPDATE_ITEM: 1})
        if isinstance(outcome, Updated) and Field.ATTENTION in change.set:
            self._usage.marked()
        return outcome

    def put_note(self, job_id: str, name: str, content: str, *, expires_s: int) -> None:
        self._store.put_note(job_id, name, content, expires_s=expires_s)
        self._usage.noted(content)

    def put_new(self, record: JobRecord) -> Updated | Refused:
        return self._store.put_new(record)

    def put_fresh(self, records: Sequence[JobRecord]) -> None:
        return self._store.put_fresh(records)

    def get(self, job_id: str) -> JobRecord | None:
        return self._store.get(job_id)

    def get_many(self, job_ids: Sequence[str]) -> list[JobRecord]:
        return self._store.get_many(job_ids)

    def transact(self, steps: Sequence[Step]) -> Conflict | None:
        return self._store.transact(steps)

    def item(self, key: Key) -> Item | None:
        return self._store.item(key)

    def items(
        self, partition: str, prefix: str, *, at_a_time: int | None = None
    ) -> Iterator[tuple[str, Item]]:
        return self._store.items(partition, prefix, at_a_time=at_a_time)

    def attention(self, kind: str, shard: int, *, until_ms: int) -> Iterator[Mark]:
        return self._store.attention(kind, shard, until_ms=until_ms)

    def listing(self, partition: str, *, after: str | None = None) -> Iterator[JobRecord]:
        return self._store.listing(partition, after=after)

    def notes(self, job_id: str, prefix: str) -> Iterator[tuple[str, str]]:
        return self._store.notes(job_id, prefix)


class CountedMessages:
    """Counts what is sent and deleted. Hiding is shared between runs: `RunUsage.share`."""

    def __init__(self, messages: WorkQueue, usage: RunUsage) -> None:
        self._messages = messages
        self._usage = usage

    @property
    def capabilities(self) -> Capabilities:
        return self._messages.capabilities

    def send(self, address: Address, messages: Sequence[Outgoing]) -> None:
        self._messages.send(address, messages)
        self._usage.count({Call.SEND: 1})

    def receive(
        self, address: Address, *, limit: int, wait: timedelta, hidden: timedelta
    ) -> list[Received]:
        return self._messages.receive(address, limit=limit, wait=wait, hidden=hidden)

    def delete(self, address: Address, receipts: Sequence[str]) -> None:
        self._messages.delete(address, receipts)
        self._usage.count({Call.DELETE: 1})

    def hide(self, address: Address, receipts: Sequence[str], span: timedelta) -> None:
        self._messages.hide(address, receipts, span)

    def depth(self, address: Address) -> Depth:
        return self._messages.depth(address)


class CountedFiles:
    """Counts requests to S3. A download that breaks off and begins again counts once."""

    def __init__(self, files: ObjectStore, usage: RunUsage) -> None:
        self._files = files
        self._usage = usage

    def put(
        self,
        area: Area,
        key: str,
        body: bytes | BinaryIO,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        once: str | None = None,
    ) -> Stored:
        known_size = isinstance(body, bytes) or body.seekable()
        stored = self._files.put(
            area, key, body, content_type=content_type, metadata=metadata, once=once
        )
        self._usage.count(put_calls(stored.size, size_known=known_size))
        return stored

    def describe(self, area: Area, key: str) -> Stored:
        self._usage.count({Call.HEAD_OBJECT: 1})
        return self._files.describe(area, key)

    def open(self, bucket: str, key: str, *, version: str | None = None) -> BinaryIO:
        self._usage.count({Call.GET_OBJECT: 1})
        return self._files.open(bucket, key, version=version)

    def download(self, bucket: str, key: str, to: Path, *, version: str | None = None) -> None:
        self._usage.count({Call.GET_OBJECT: 1})
        self._files.download(bucket, key, to, version=version)

    def bucket(self, area: Area) -> str:
        return self._files.bucket(area)

    def keys(self, area: Area, prefix: str) -> Iterator[str]:
        return self._files.keys(area, prefix)

    def delete(self, area: Area, keys: Iterable[str]) -> None:
        self._files.delete(area, keys)
