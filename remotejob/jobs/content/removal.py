"""Deletes what a removed job leaves behind: its notes, outputs and submitted input.

The tombstone that takes the record's place says what is left to delete, and is marked until that
is done. If the command dies before, or its answer is lost, the sweep goes on.
"""

from __future__ import annotations

from dataclasses import dataclass

from remotejob.domain import command_changes
from remotejob.domain.conditions import Item
from remotejob.domain.ids import is_job_id, partition_of
from remotejob.domain.record_texts import check_queue_name
from remotejob.domain.transactions import Erase, Key, no_job_id, number, record_key, text
from remotejob.domain.unreadable import reading_item
from remotejob.jobs.content.input_files import input_prefixes
from remotejob.names import FAILURE_NOTES, LOG_NOTES, Field
from remotejob.ports import Area, Installation


@dataclass(frozen=True, kw_only=True, slots=True)
class Tombstone:
    """What is left of a removed job."""

    job_id: str
    token: str
    """Of the command that removed the job."""
    queue: str
    keeps_inputs: bool
    """Whether the job that repeats it still reads its input."""
    removed_ms: int
    expires_s: int

    @classmethod
    def of(cls, job_id: str, item: Item | None) -> Tombstone | None:
        """The tombstone in an item; None if it is a record, or nothing is left to delete.

        Raises: UnreadableItem. Its values decide which files are deleted.
        """
        if item is None or Field.REMOVED not in item or Field.ATTENTION not in item:
            return None
        with reading_item(partition_of(job_id), job_id):
            check_queue_name(text(item[Field.QUEUE]))
            return cls(
                job_id=job_id,
                token=text(item[Field.TOKEN]),
                queue=text(item[Field.QUEUE]),
                keeps_inputs=Field.NEXT in item,
                removed_ms=number(item[Field.REMOVED]),
                expires_s=number(item[Field.EXPIRES]),
            )


def tombstone_of(job_id: str, installation: Installation) -> Tombstone | None:
    """The tombstone of a removed job that has left something to delete.

    Raises: UnreadableItem, also when the id is none: nothing is deleted under another name.
    """
    if not is_job_id(job_id):
        raise no_job_id(job_id)
    return Tombstone.of(job_id, installation.store.item(record_key(job_id)))


def clear(tombstone: Tombstone, installation: Installation) -> None:
    """Delete what the job left, then note in its tombstone that nothing is left.

    Deleting again is harmless, so anybody may repeat it.
    """
    store, files, job_id = installation.store, installation.files, tombstone.job_id
    for prefix in (FAILURE_NOTES, LOG_NOTES):
        for name, _text in list(store.notes(job_id, prefix)):
            store.transact([Erase(key=Key(job_id, name))])
    files.delete(Area.OUTPUT, list(files.keys(Area.OUTPUT, f"{tombstone.queue}/{job_id}/")))
    if not tombstone.keeps_inputs:
        # otherwise a lifecycle rule deletes them
        for prefix in input_prefixes(tombstone.queue, job_id):
            files.delete(Area.INPUT, list(files.keys(Area.INPUT, prefix)))
    step = command_changes.cleared(
        job_id,
        token=tombstone.token,
        removed_ms=tombstone.removed_ms,
        expires_s=tombstone.expires_s,
    )
    store.transact([step])
