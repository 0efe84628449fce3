"""Wraps the ports of a system, so that a test can observe, delay or fail every call.

A listing is read whole at the call, so later changes make it stale, like a page that DynamoDB has
already sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from remotejob.domain.changes import Change
from remotejob.domain.conditions import Item
from remotejob.domain.record import JobRecord
from remotejob.domain.transactions import Conflict, Key, Step
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

T = TypeVar("T")


class Interceptor(Protocol):
    """Gets every call that a use case makes to a port."""

    def request(self, name: str, arguments: tuple[object, ...], function: Callable[[], T]) -> T:
        """Carry out the call with `function()`, or do something else."""
        ...


def intercepted(installation: Installation, interceptor: Interceptor) -> Installation:
    """The same system, with every call of its ports passed to the interceptor."""
    return replace(
        installation,
        store=_InterceptedStore(installation.store, interceptor),
        messages=_InterceptedMessages(installation.messages, interceptor),
        files=_InterceptedFiles(installation.files, interceptor),
    )


class _InterceptedStore:
    def __init__(self, inner: JobStore, interceptor: Interceptor) -> None:
        self._inner, self._call = inner, interceptor.request

    def put_new(self, record: JobRecord) -> Updated | Refused:
        return self._call("store.put_new", (record,), lambda: self._inner.put_new(record))

    def put_fresh(self, records: Sequence[JobRecord]) -> None:
        self._call("store.put_fresh", tuple(records), lambda: self._inner.put_fresh(records))

    def get(self, job_id: str) -> JobRecord | None:
        return self._call("store.get", (job_id,), lambda: self._inner.get(job_id))

    def get_many(self, job_ids: Sequence[str]) -> list[JobRecord]:
        return self._call("store.get_many", tuple(job_ids), lambda: self._inner.get_many(job_ids))

    def update(self, change: Change) -> Updated | Refused:
        return self._call("store.update", (change,), lambda: self._inner.update(change))

    def transact(self, steps: Sequence[Step]) -> Conflict | None:
        return self._call("store.transact", tuple(steps), lambda: self._inner.transact(steps))

    def item(self, key: Key) -> Item | None:
        return self._call("store.item", (key,), lambda: self._inner.item(key))

    def items(
        self, partition: str, prefix: str, *, at_a_time: int | None = None
    ) -> Iterator[tuple[str, Item]]:
        return self._call(
            "store.items",
            (partition, prefix),
            lambda: iter(list(self._inner.items(partition, prefix, at_a_time=at_a_time))),
        )

    def attention(self, kind: str, shard: int, *, until_ms: int) -> Iterator[Mark]:
        return self._call(
            "store.attention",
            (kind, shard),
            lambda: iter(list(self._inner.attention(kind, shard, until_ms=until_ms))),
        )

    def listing(self, partition: str, *, after: str | None = None) -> Iterator[JobRecord]:
        return self._call(
            "store.listing",
            (partition,),
            lambda: iter(list(self._inner.listing(partition, after=after))),
        )

    def put_note(self, job_id: str, name: str, content: str, *, expires_s: int) -> None:
        self._call(
            "store.put_note",
            (job_id, name),
            lambda: self._inner.put_note(job_id, name, content, expires_s=expires_s),
        )

    def notes(self, job_id: str, prefix: str) -> Iterator[tuple[str, str]]:
        return self._call(
            "store.notes", (job_id, prefix), lambda: iter(list(self._inner.notes(job_id, prefix)))
        )


class _InterceptedMessages:
    def __init__(self, inner: WorkQueue, interceptor: Interceptor) -> None:
        self._inner, self._call = inner, interceptor.request

    @property
    def capabilities(self) -> Capabilities:
        return self._inner.capabilities

    def send(self, address: Address, messages: Sequence[Outgoing]) -> None:
        self._call("messages.send", (address,), lambda: self._inner.send(address, messages))

    def receive(
        self, address: Address, *, limit: int, wait: timedelta, hidden: timedelta
    ) -> list[Received]:
        return self._call(
            "messages.receive",
            (address,),
            lambda: self._inner.receive(address, limit=limit, wait=wait, hidden=hidden),
        )

    def delete(self, address: Address, receipts: Sequence[str]) -> None:
        self._call("messages.delete", (address,), lambda: self._inner.delete(address, receipts))

    def hide(self, address: Address, receipts: Sequence[str], span: timedelta) -> None:
        self._call(
            "messages.hide", (address, span), lambda: self._inner.hide(address, receipts, span)
        )

    def depth(self, address: Address) -> Depth:
        return self._call("messages.depth", (address,), lambda: self._inner.depth(address))


class _InterceptedFiles:
    def __init__(self, inner: ObjectStore, interceptor: Interceptor) -> None:
        self._inner, self._call = inner, interceptor.request

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
        return self._call(
            "files.put",
            (area, key),
            lambda: self._inner.put(
                area, key, body, content_type=content_type, metadata=metadata, once=once
            ),
        )

    def describe(self, area: Area, key: str) -> Stored:
        return self._call("files.describe", (area, key), lambda: self._inner.describe(area, key))

    def open(self, bucket: str, key: str, *, version: str | None = None) -> BinaryIO:
        return self._call(
            "files.open", (bucket, key), lambda: self._inner.open(bucket, key, version=version)
        )

    def download(self, bucket: str, key: str, to: Path, *, version: str | None = None) -> None:
        self._call(
            "files.download",
            (bucket, key),
            lambda: self._inner.download(bucket, key, to, version=version),
        )

    def bucket(self, area: Area) -> str:
        return self._inner.bucket(area)

    def keys(self, area: Area, prefix: str) -> Iterator[str]:
        return self._call(
            "files.keys", (area, prefix), lambda: iter(list(self._inner.keys(area, prefix)))
        )

    def delete(self, area: Area, keys: Iterable[str]) -> None:
        listed = list(keys)
        self._call("files.delete", (area, *listed), lambda: self._inner.delete(area, listed))
