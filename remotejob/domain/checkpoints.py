"""Checkpoints: progress that a run saves for the run that continues the job.

A small checkpoint is kept in the record. A larger one is a file of the run that wrote it, and it
counts only once the record refers to it. A run first writes to a file that the record cannot refer
to, then moves the reference. It alternates between two files, and no file is deleted while the job
may run.

    A  checkpoint 1: file 0 ── record → 0 ── checkpoint 2: file 1 ── (dies)
    B                                                               claims ── resumes from 0
    A  …                                     checkpoint 2: file 1 ── record → 1 ── (dies)
    B                                                                      claims ── resumes from 1

A run that has lost its job still writes to its own files, but its reference is refused.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from remotejob.domain.record import JobRecord, output_prefix
from remotejob.names import RESERVED_OUTPUT_PREFIX, Field

CHECKPOINT_INLINE: Final = 512
"""Bytes of a checkpoint kept in the record. With it, a record usually stays within the one KB that
a write costs, so heartbeats cost no more than before. One more KB would cost a write unit at each
heartbeat; a file costs as much as eight write units, once."""

CHECKPOINT_LIMIT: Final = 10 * 1024 * 1024
"""Bytes. Larger data belongs in a file, where it need not pass through memory as JSON."""

CHECKPOINTS: Final = f"{RESERVED_OUTPUT_PREFIX}checkpoint-"
"""Prefix of the file names, next to a run's outputs."""

_STRUCK: Final = "-"

CHECKPOINT_FIELDS: Final = (Field.CHECKPOINT, Field.CHECKPOINT_REF)


def free_slot(taken: Collection[int]) -> int:
    """The number of a file that the record cannot refer to."""
    return next(number for number in range(len(taken) + 1) if number not in taken)


def reference(run_id: str, slot: int) -> str:
    """A file as the record names it; short, because every write pays for it."""
    return f"{run_id}/{slot}"


def struck_out(record: JobRecord) -> str:
    """A reference to a file about to be deleted: no run may resume from it."""
    return f"{_STRUCK}{(record.checkpoint_ref or '').removeprefix(_STRUCK)}"


def checkpoint_key(record: JobRecord) -> str | None:
    """The key of the checkpoint file; None if there is no file to resume from."""
    if record.checkpoint_ref is None or record.checkpoint_ref.startswith(_STRUCK):
        return None
    run_id, _, slot = record.checkpoint_ref.partition("/")
    return slot_key(output_prefix(queue=record.queue, job_id=record.id, run_id=run_id), int(slot))


def slot_key(prefix: str, slot: int) -> str:
    return f"{prefix}{CHECKPOINTS}{slot}.json"


def is_checkpoint(key: str, *, prefix: str) -> bool:
    """Whether a key names a checkpoint file of the run with that prefix."""
    return key.startswith(prefix + CHECKPOINTS)
