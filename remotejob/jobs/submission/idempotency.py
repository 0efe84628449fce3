"""Idempotency keys: a submit repeated under the same key returns the job it made before.

One transaction stores the key and the job, so concurrent submits under one key make exactly one
job.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Final

from remotejob.domain.argument_checks import plain_text
from remotejob.domain.changes import Condition
from remotejob.domain.conditions import Absent, AtMost, Either, Is
from remotejob.domain.errors import InvalidData
from remotejob.domain.record import JobRecord
from remotejob.domain.text import shown
from remotejob.domain.times import check_timedelta, span_ms
from remotejob.domain.transactions import Key, Put, number, text
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


def job_under(key: str, queue: str, installation: Installation) -> tuple[JobRecord | None, str]:
    """The job that holds the key, if any; and the id that the key names."""
    item = installation.store.item(_key(key, queue))
    if item is None or number(item[Field.EXPIRES]) * 1000 <= installation.clock.now_ms():
        return None, ""
    named = text(item[Field.JOB])
    return installation.store.get(named), named


def take_key(
    key: str, queue: str, job_id: str, *, window: timedelta, gone: str, now_ms: int
) -> Put:
    """The step that takes a key for a job. `gone` is the id of a removed job that held it."""
    return Put(
        key=_key(key, queue),
        content={Field.JOB: job_id, Field.EXPIRES: (now_ms + span_ms(window)) // 1000},
        condition=FREE,
        values={"now_s": now_ms // 1000, "gone": gone},
    )


def _key(key: str, queue: str) -> Key:
    # hashed: a partition key has a maximum length and takes no half surrogate pairs
    digest = hashlib.sha256(str.encode(key, errors="surrogatepass")).hexdigest()
    return Key(f"{Partition.KEY}{queue}#{digest[:32]}", "key")
