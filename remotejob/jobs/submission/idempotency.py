"""Idempotency keys: a submit repeated under the same key returns the job it made before.

A submit of something else under that key is refused: the key's item says what was submitted.

One transaction stores the key and the job, so concurrent submits under one key make exactly one
job.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from remotejob.domain import odd_items
from remotejob.domain.argument_checks import plain_text
from remotejob.domain.changes import Condition
from remotejob.domain.conditions import Absent, AtMost, Either, Is
from remotejob.domain.errors import InvalidData, UnreadableItem
from remotejob.domain.record import JobRecord
from remotejob.domain.text import shown
from remotejob.domain.times import check_timedelta, span_ms
from remotejob.domain.transactions import Key, Put
from remotejob.names import Field, Partition
from remotejob.ports import Installation

_LONGEST_KEY: Final = 256
_LONGEST_WINDOW: Final = timedelta(days=365)

FREE: Final = Condition(
    name="key_free",
    # A key past its window may still exist: DynamoDB deletes expired items days later. A key
    # whose job was removed names a job that no longer exists.
    expression=Either(Absent(Field.PK), AtMost(Field.EXPIRES, "now_s"), Is(Field.JOB, "gone")),
)


def check_idempotency(key: str, window: timedelta, *, retention: timedelta) -> None:
    """Raises: InvalidData."""
    text = plain_text(key)
    if text is None or not 0 < len(text) <= _LONGEST_KEY:
        raise InvalidData(
            f"idempotency_key={shown(key)}: use text of 1 to {_LONGEST_KEY} characters"
        )
    check_timedelta("idempotency_window", window)
    if not timedelta(seconds=1) <= window <= _LONGEST_WINDOW:
        raise InvalidData(
            f"idempotency_window={shown(window)}: use 1 second to {_LONGEST_WINDOW.days} days"
        )
    if window > retention:
        raise InvalidData(
            f"idempotency_window={shown(window)}: the key's job is deleted {retention.days} days "
            "after its end; give a shorter window, or raise retention_days in remotejob.toml and "
            "deploy"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyHolder:
    """Who has a key."""

    job: JobRecord | None = None
    """The job that holds it, if any."""
    gone: str | None = ""
    """The id that the key names, for `take_key`."""
    payload: str | None = None
    """What was submitted under it, as `payload_of` hashes it; None if that is not known."""


def job_under(key: str, queue: str, installation: Installation) -> KeyHolder:
    """Who has a key.

    Raises: UnreadableItem, when the key names a job whose record cannot be read.
    """
    place = _key(key, queue)
    item = installation.store.item(place)
    if item is None:
        return KeyHolder()
    named, expires_s = item.get(Field.JOB), item.get(Field.EXPIRES)
    if not isinstance(named, str) or not isinstance(expires_s, int):
        # one odd item must not keep its key from being used
        problem = f"{Field.JOB}={shown(named)}, {Field.EXPIRES}={shown(expires_s)}"
        installation.skipped.add(UnreadableItem(place.partition, place.name, problem))
        return KeyHolder(gone=named if isinstance(named, str) else None)
    if expires_s * 1000 <= installation.clock.now_ms():
        return KeyHolder()
    record = installation.store.get(named)
    if record is None or record.queue != queue:
        return KeyHolder(gone=named)
    payload = item.get(Field.PAYLOAD)
    return KeyHolder(job=record, gone=named, payload=payload if isinstance(payload, str) else None)


def take_key(
    key: str,
    queue: str,
    job_id: str,
    *,
    window: timedelta,
    gone: str | None,
    payload: str,
    now_ms: int,
) -> Put:
    """The step that takes a key for a job, and notes what was submitted.

    `gone` is the id of a removed job that held it; None if the key's item names no job.
    """
    return Put(
        key=_key(key, queue),
        content={
            Field.JOB: job_id,
            Field.EXPIRES: (now_ms + span_ms(window)) // 1000,
            Field.PAYLOAD: payload,
        },
        condition=odd_items.ODD_KEY if gone is None else FREE,
        values={} if gone is None else {"now_s": now_ms // 1000, "gone": gone},
    )


def _key(key: str, queue: str) -> Key:
    # hashed: a partition key has a maximum length and takes no half surrogate pairs
    digest = hashlib.sha256(str.encode(key, errors="surrogatepass")).hexdigest()
    return Key(f"{Partition.KEY}{queue}#{digest[:32]}", "key")
