"""Writes the checkpoints of one run (see `domain.checkpoints`)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from remotejob.domain.checkpoints import (
    CHECKPOINT_FIELDS,
    CHECKPOINT_INLINE,
    free_slot,
    reference,
    slot_key,
)
from remotejob.domain.conditions import Value
from remotejob.jobs.content import payloads
from remotejob.names import Field
from remotejob.ports import Area
from remotejob.worker.runs.heartbeat import beat
from remotejob.worker.runs.run import Run

log = logging.getLogger(__name__)

_FIRST_PAUSE: Final = timedelta(seconds=1)


class Checkpoints:
    """The checkpoints of one run. Safe across threads."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._one = threading.RLock()
        self._slot: int | None = None
        """The file the record refers to."""
        self._doubtful: set[int] = set()
        """Files it may refer to, or that S3 may still write, because an answer was lost."""
        self._kept = False
        self._filed = False

    def keep(self, text: str) -> None:
        """Write a checkpoint into the record, or into a file if it is large. Then it is durable.

        Raises: RunInterrupted, when the run must stop; the error of S3 or DynamoDB, after retrying
        for the length of a lease.
        """
        with self._one:
            self._kept = True
            if len(text.encode()) <= CHECKPOINT_INLINE:
                self._write({Field.CHECKPOINT: text}, instead_of=Field.CHECKPOINT_REF)
                self._slot = None
                return
            taken = self._doubtful if self._slot is None else {*self._doubtful, self._slot}
            slot = free_slot(taken)
            self._doubtful.add(slot)
            self._filed = True
            # stored first: a reader of the record always finds the file it refers to
            self._store(slot, text)
            refers = reference(self._run.run_id, slot)
            self._write({Field.CHECKPOINT_REF: refers}, instead_of=Field.CHECKPOINT)
            self._doubtful.discard(slot)
            self._slot = slot

    def at_completion(self) -> tuple[dict[str, Value], tuple[Field, ...]]:
        """What the record of the completed job says of checkpoints, and which fields it loses."""
        record = self._run.record
        inherited = record.checkpoint_json is not None or record.checkpoint_ref is not None
        if not self._kept and not inherited:
            return {}, ()
        if self._filed:
            # for the sweep: there are files to remove, even if no reference to them was stored
            trace = reference(self._run.run_id, 0)
            return {Field.CHECKPOINT_REF: trace}, (Field.CHECKPOINT,)
        return {}, CHECKPOINT_FIELDS

    def _store(self, slot: int, text: str) -> None:
        run = self._run
        key = slot_key(run.prefix, slot)
        self._tried(lambda: payloads.store_text(run.installation.files, Area.OUTPUT, key, text))

    def _write(self, values: dict[str, Value], *, instead_of: Field) -> None:
        self._tried(lambda: beat(self._run, also=values, remove=(instead_of,)))
        # a refused heartbeat has set the stop signal
        self._run.check()

    def _tried(self, request: Callable[[], object]) -> None:
        """Retry a request for the length of a lease: hours of work depend on it."""
        run, clock = self._run, self._run.installation.clock
        end = clock.monotonic() + run.lease_length.total_seconds()
        pause = _FIRST_PAUSE
        while True:
            run.check()
            try:
                request()
            except Exception as problem:
                if clock.monotonic() + pause.total_seconds() >= end:
                    raise
                log.warning(
                    "checkpoint not taken, tried again: %s",
                    problem,
                    extra=run.context.fields,
                )
            else:
                return
            clock.sleep(pause)
            pause *= 2
