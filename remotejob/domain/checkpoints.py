"""Checkpoints: what a run leaves for the one that takes the job up after it.

A small one stands in the record. A larger one is a file of the run that left it, and the record
says which: the reference is what makes it the job's, never the file. A run writes to a file that
the record surely does not refer to, and only then lets it refer to it; so it needs two files, by
turns, and none is ever taken away while the job may run.

    A  checkpoint 1: file 0 ── record → 0 ── checkpoint 2: file 1 ── (dies)
    B                                                               claims ── resumes from 0
    A  …                                     checkpoint 2: file 1 ── record → 1 ── (dies)
    B                                                                      claims ── resumes from 1

A run that has lost its job goes on writing to its own files, and its reference is refused.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from remotejob.domain.record import JobRecord, output_prefix
from remotejob.names import RESERVED_OUTPUT_PREFIX, Field

CHECKPOINT_INLINE: Final = 512
"""Bytes of a checkpoint kept in the record. With it, a record usually stays within the one KB that
a write costs, so heartbeats cost no more than before. A KB more would cost a write unit at each
heartbeat; a file costs as much as eight of them, once."""

CHECKPOINT_LIMIT: Final = 10 * 1024 * 1024
"""Bytes. What is larger is read and written as a file, and does not pass through memory as JSON."""

CHECKPOINTS: Final = f"{RESERVED_OUTPUT_PREFIX}checkpoint-"
"""Names of the files, beside a run's outputs."""

_STRUCK: Final = "-"

CHECKPOINT_FIELDS: Final = (Field.CHECKPOINT, Field.CHECKPOINT_REF)


def free_slot(taken: Collection[int]) -> int:
    """The number of a file that the record surely does not refer to."""
    return next(number for number in range(len(taken) + 1) if number not in taken)


def reference(run_id: str, slot: int) -> str:
    """What the record says of a file; short, for every write pays for it."""
    return f"{run_id}/{slot}"


def struck_out(record: JobRecord) -> str:
    """What the record says of a file that is about to go: nobody is to go on from it."""
    return f"{_STRUCK}{(record.checkpoint_ref or '').removeprefix(_STRUCK)}"


def checkpoint_key(record: JobRecord) -> str | None:
    """Where the checkpoint is that is too long for the record, if there is one."""
    if record.checkpoint_ref is None or record.checkpoint_ref.startswith(_STRUCK):
        return None
    run_id, _, slot = record.checkpoint_ref.partition("/")
    return slot_key(output_prefix(queue=record.queue, job_id=record.id, run_id=run_id), int(slot))


def slot_key(prefix: str, slot: int) -> str:
    return f"{prefix}{CHECKPOINTS}{slot}.json"


def is_checkpoint(key: str, *, prefix: str) -> bool:
    """Whether a key is that of a checkpoint's file, of the run with that prefix."""
    return key.startswith(prefix + CHECKPOINTS)
