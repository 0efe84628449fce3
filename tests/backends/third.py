"""A store and message queues on SQLite, made from the ports and the domain alone.

They show that the suites suffice to write a backend by, and that nothing else in the library
knows which backend it runs on.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

from remotejob.domain.changes import Change
from remotejob.domain.conditions import Item, Value
from remotejob.domain.ids import is_job_id
from remotejob.domain.record import JobRecord
from remotejob.domain.times import span_ms
from remotejob.domain.transactions import (
    Check,
    Conflict,
    Count,
    Erase,
    Key,
    Put,
    Step,
    applied,
    checked_record,
    key_of,
    number,
    put_record,
    readable_note,
    readable_record,
    record_key,
    record_of,
)
from remotejob.domain.unreadable import SkippedItems
from remotejob.names import Field
from remotejob.ports import (
    Address,
    Capabilities,
    Clock,
    Depth,
    Mark,
    Outgoing,
    Received,
    Refused,
    Updated,
)

_ITEMS: Final = """
    CREATE TABLE items (
        place TEXT, name TEXT, content TEXT, kind TEXT, at INTEGER, PRIMARY KEY (place, name)
    );
    CREATE INDEX attention ON items (kind, at) WHERE kind IS NOT NULL;
"""
_MESSAGES: Final = """
    CREATE TABLE messages (
        number INTEGER PRIMARY KEY, queue TEXT, channel TEXT, body TEXT, tenant TEXT,
        sent INTEGER, visible INTEGER, received INTEGER, receives INTEGER DEFAULT 0
    );
"""


class Database:
    """One connection, for one transaction at a time."""

    def __init__(self, schema: str) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(
            ":memory:", check_same_thread=False, isolation_level=None
        )
        self._connection.executescript(schema)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._lock:
            self._connection.execute("BEGIN")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def rows(self, statement: str, *values: object) -> list[Any]:
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def close(self) -> None:
        self._connection.close()


class _Stopped(Exception):
    """A step was refused: what those before it did is rolled back."""

    def __init__(self, conflict: Conflict) -> None:
        super().__init__(conflict)
        self.conflict = conflict


class SqliteStore:
    """A `JobStore` in one table of SQLite."""

    def __init__(self) -> None:
        self._database = Database(_ITEMS)
        self._skipped = SkippedItems()

    def put_new(self, record: JobRecord) -> Updated | Refused:
        conflict = self.transact([put_record(record)])
        return Updated(record) if conflict is None else Refused(conflict.record)

    def put_fresh(self, records: Sequence[JobRecord]) -> None:
        for record in records:
            self.put_new(record)

    def get(self, job_id: str) -> JobRecord | None:
        item = self.item(record_key(job_id))
        return None if item is None else checked_record(item)

    def get_many(self, job_ids: Sequence[str]) -> list[JobRecord]:
        items = (self.item(record_key(job_id)) for job_id in set(job_ids) if is_job_id(job_id))
        records = (readable_record(item, self._skipped) for item in items if item is not None)
        return [record for record in records if record is not None]

    def update(self, change: Change) -> Updated | Refused:
        with self._database.transaction():
            item = self.item(record_key(change.job_id)) or {}
            if not change.condition.expression.holds(item, change.values):
                return Refused(record_of(item))
            changed = applied(change, item)
            self._put(record_key(change.job_id), changed)
            return Updated(JobRecord.from_item(changed))

    def transact(self, steps: Sequence[Step]) -> Conflict | None:
        try:
            with self._database.transaction():
                for position, step in enumerate(steps):
                    self._carry_out(step, position)
        except _Stopped as stopped:
            return stopped.conflict
        return None

    def _carry_out(self, step: Step, position: int) -> None:
        met = self.item(key_of(step))
        item = met or {}
        if step.condition and not step.condition.expression.holds(item, step.values):
            raise _Stopped(Conflict(position, met))
        match step:
            case Change():
                self._put(key_of(step), applied(step, item))
            case Put():
                self._put(step.key, step.content)
            case Erase():
                place = (step.key.partition, step.key.name)
                self._database.rows("DELETE FROM items WHERE place = ? AND name = ?", *place)
            case Count():
                counted = dict(item)
                for name, by in step.add.items():
                    counted[name] = number(item.get(name, 0)) + by
                self._put(step.key, counted)
            case Check():
                pass

    def item(self, key: Key) -> Item | None:
        rows = self._database.rows(
            "SELECT content FROM items WHERE place = ? AND name = ?", key.partition, key.name
        )
        return _decoded(rows[0][0]) if rows else None

    def items(
        self, partition: str, prefix: str, *, at_a_time: int | None = None
    ) -> Iterator[tuple[str, Item]]:
        rows = self._database.rows(
            "SELECT name, content FROM items"
            " WHERE place = ?1 AND substr(name, 1, length(?2)) = ?2 ORDER BY name",
            partition,
            prefix,
        )
        for name, content in rows:
            yield name, _decoded(content)

    def attention(self, kind: str, shard: int, *, until_ms: int) -> Iterator[Mark]:
        rows = self._database.rows(
            "SELECT name, at FROM items WHERE kind = ? AND at <= ? ORDER BY at",
            f"{kind}#{shard}",
            until_ms,
        )
        for name, at in rows:
            yield Mark(name, at)

    def listing(self, partition: str, *, after: str | None = None) -> Iterator[JobRecord]:
        items = [item for name, item in self.items(partition, "") if name > (after or "")]
        for item in items if after is not None else reversed(items):
            if (record := readable_record(item, self._skipped)) is not None:
                yield record

    def put_note(self, job_id: str, name: str, content: str, *, expires_s: int) -> None:
        note: Item = {Field.CONTENT: content, Field.EXPIRES: expires_s}
        self.transact([Put(key=Key(job_id, name), content=note)])

    def notes(self, job_id: str, prefix: str) -> Iterator[tuple[str, str]]:
        for name, item in self.items(job_id, prefix):
            if (content := readable_note(job_id, name, item, self._skipped)) is not None:
                yield name, content

    def close(self) -> None:
        self._database.close()

    def _put(self, key: Key, content: Item) -> None:
        item = {**content, Field.PK: key.partition, Field.SK: key.name}
        self._database.rows(
            "INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?)",
            key.partition,
            key.name,
            json.dumps(item, default=sorted),
            content.get(Field.ATTENTION),
            content.get(Field.ATTENTION_AT),
        )


def _decoded(content: str) -> dict[str, Value]:
    return {
        name: frozenset(value) if isinstance(value, list) else value
        for name, value in json.loads(content).items()
    }


class SqliteMessages:
    """A `WorkQueue` in one table of SQLite. It has no dead-letter rule of its own."""

    capabilities = Capabilities(
        max_delay=timedelta(hours=1),
        max_hidden=timedelta(days=1),
        retention=timedelta(days=30),
        batch=100,
    )

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._database = Database(_MESSAGES)

    def send(self, address: Address, messages: Sequence[Outgoing]) -> None:
        now = self._clock.now_ms()
        with self._database.transaction():
            for message in messages:
                seconds = -(-span_ms(message.delay) // 1000)
                self._database.rows(
                    "INSERT INTO messages (queue, channel, body, tenant, sent, visible)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    *(address.queue, address.channel, message.body, message.group),
                    *(now, now + seconds * 1000),
                )

    def receive(
        self, address: Address, *, limit: int, wait: timedelta, hidden: timedelta
    ) -> list[Received]:
        received = self._taken(address, limit, hidden)
        if not received and wait:
            self._clock.sleep(wait)
            received = self._taken(address, limit, hidden)
        return received

    def delete(self, address: Address, receipts: Sequence[str]) -> None:
        with self._database.transaction():
            for receipt in receipts:
                self._database.rows(
                    "DELETE FROM messages WHERE queue = ? AND channel = ?"
                    " AND number || '.' || receives = ?",
                    *(address.queue, address.channel, receipt),
                )

    def hide(self, address: Address, receipts: Sequence[str], span: timedelta) -> None:
        until = self._clock.now_ms() + span_ms(span)
        with self._database.transaction():
            for receipt in receipts:
                self._database.rows(
                    "UPDATE messages SET visible = ? WHERE queue = ? AND channel = ?"
                    " AND number || '.' || receives = ? AND received >= ?",
                    *(until, address.queue, address.channel, receipt),
                    until - span_ms(self.capabilities.max_hidden),
                )

    def depth(self, address: Address) -> Depth:
        ((visible, hidden, delayed),) = self._database.rows(
            "SELECT count(*) FILTER (WHERE visible <= ?1),"
            " count(*) FILTER (WHERE visible > ?1 AND receives > 0),"
            " count(*) FILTER (WHERE visible > ?1 AND receives = 0)"
            " FROM messages WHERE queue = ?2 AND channel = ?3",
            self._clock.now_ms(),
            address.queue,
            address.channel,
        )
        return Depth(visible=visible, hidden=hidden, delayed=delayed)

    def close(self) -> None:
        self._database.close()

    def _taken(self, address: Address, limit: int, hidden: timedelta) -> list[Received]:
        now = self._clock.now_ms()
        with self._database.transaction():
            rows = self._database.rows(
                "UPDATE messages SET receives = receives + 1, visible = ?, received = ?"
                " WHERE number IN"
                " (SELECT number FROM messages WHERE queue = ? AND channel = ? AND visible <= ?"
                " ORDER BY number LIMIT ?) RETURNING number, receives, body, sent, tenant",
                *(now + span_ms(hidden), now, address.queue, address.channel, now, limit),
            )
        return [
            Received(
                address=address,
                body=body,
                receipt=f"{position}.{receives}",
                id=str(position),
                sent_ms=sent,
                receives=receives,
                group=group,
            )
            for position, receives, body, sent, group in sorted(rows)
        ]
