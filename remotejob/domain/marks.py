"""Marks: entries of the attention index, on records that somebody must look at."""

from __future__ import annotations

from typing import Final

from remotejob.domain.conditions import Value
from remotejob.domain.ids import shard_of
from remotejob.names import Field


class Attention:
    """Kinds of mark in the attention index."""

    WAITING: Final = "waiting"
    """Due at that time, or a message for it to be looked after."""
    RUNNING: Final = "running"
    """Its lease to be looked at then."""
    OWED: Final = "owed"
    """Ended, with consequences to be carried out."""
    FAILED: Final = "failed"
    """Ended failed at that time; nobody acts on it, it is there to be listed."""

    PAUSED: Final = "paused"
    """Paused at that time; listed, and not acted on."""

    KEPT: Final = "kept"
    """Cancelled at that time, with a checkpoint in S3; the sweep alone looks for it."""

    ACTED_ON: Final = (WAITING, RUNNING, OWED)


MARK: Final = (Field.ATTENTION, Field.ATTENTION_AT)
"""The attributes of a mark."""


def attention_key(kind: str, job_id: str) -> str:
    """Partition key of the attention index: what is to be looked at, on which shard."""
    return f"{kind}#{shard_of(job_id)}"


def mark(kind: str, job_id: str, at_ms: int) -> dict[str, Value]:
    """The attributes of a record to be looked at from `at_ms` on."""
    return {Field.ATTENTION: attention_key(kind, job_id), Field.ATTENTION_AT: at_ms}
