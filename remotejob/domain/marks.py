"""Marks: entries in the attention index, on records that need a check or can be listed."""

from __future__ import annotations

from typing import Final

from remotejob.domain.conditions import Value
from remotejob.domain.ids import shard_of
from remotejob.names import Field


class Attention:
    """Kinds of mark in the attention index."""

    WAITING: Final = "waiting"
    """Waiting; at that time it is due, or its message has to be checked."""
    RUNNING: Final = "running"
    """Running; its lease has to be checked at that time."""
    OWED: Final = "owed"
    """Ended, with consequences still to carry out."""
    FAILED: Final = "failed"
    """Failed at that time; only listed, never acted on."""

    PAUSED: Final = "paused"
    """Paused at that time; only listed, never acted on."""

    KEPT: Final = "kept"
    """Cancelled at that time, with a checkpoint in S3; only the sweep looks for it."""

    REMOVED: Final = "removed"
    """Removed at that time, with files and notes still to delete; only the sweep looks for it."""

    REPLACED: Final = "replaced"
    """On the head of repeats that were replaced at that time: the outdated ones are cancelled."""

    ACTED_ON: Final = (WAITING, RUNNING, OWED)


MARK: Final = (Field.ATTENTION, Field.ATTENTION_AT)
"""The attributes of a mark."""


def attention_key(kind: str, job_id: str) -> str:
    """Partition key in the attention index: the kind of mark and the job's shard."""
    return f"{kind}#{shard_of(job_id)}"


def mark(kind: str, job_id: str, at_ms: int) -> dict[str, Value]:
    """The attributes that mark a record for `at_ms`."""
    return {Field.ATTENTION: attention_key(kind, job_id), Field.ATTENTION_AT: at_ms}


HEADS_SHARD: Final = 0
"""All heads have their marks in one shard: there are few, and a tick reads it once."""


def mark_of_head(at_ms: int) -> dict[str, Value]:
    """The attributes that mark the head of repeats for `at_ms`."""
    return {Field.ATTENTION: f"{Attention.REPLACED}#{HEADS_SHARD}", Field.ATTENTION_AT: at_ms}
