"""A batch, as its creator sees it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from remotejob.client.job import Job
from remotejob.domain.batches import BatchRecord, BatchState
from remotejob.domain.errors import BatchUnfinished, InvalidName, WaitTimeout
from remotejob.domain.retry import Retry
from remotejob.domain.states import State
from remotejob.domain.times import from_ms
from remotejob.jobs.commands.batch_commands import cancel_batch, children, found_batch, retry_batch
from remotejob.jobs.messaging.command_events import command
from remotejob.ports import Installation

_FIRST_LOOK: Final = timedelta(milliseconds=100)
_LONGEST_LOOK: Final = timedelta(seconds=5)


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchCounts:
    """How many jobs of a batch stand where."""

    total: int
    """Those made so far, while the batch is being made."""
    completed: int
    failed: int
    cancelled: int

    @property
    def done(self) -> int:
        """Those that have ended, however."""
        return self.completed + self.failed + self.cancelled

    @property
    def left(self) -> int:
        """Those that have not ended."""
        return self.total - self.done


class Batch:
    """Jobs made as one, as they stood when the batch was last read; `refresh` reads it again."""

    def __init__(self, record: BatchRecord, installation: Installation) -> None:
        self._record = record
        self._installation = installation

    @property
    def id(self) -> str:
        return self._record.id

    @property
    def task(self) -> str:
        return self._record.task

    @property
    def queue(self) -> str:
        return self._record.queue

    @property
    def name(self) -> str | None:
        """As it was given to `map`."""
        return self._record.name

    @property
    def created_at(self) -> datetime:
        return from_ms(self._record.created_ms)

    @property
    def state(self) -> BatchState:
        return self._record.state

    @property
    def whole(self) -> bool:
        """Whether all its jobs were made. If nobody is making them any more, they never will be."""
        return self._record.sealed

    @property
    def ended(self) -> bool:
        """Whether every job has ended, or the batch was cancelled before all were made."""
        return self.state in (BatchState.DONE, BatchState.CANCELLED)

    @property
    def counts(self) -> BatchCounts:
        record = self._record
        return BatchCounts(
            total=record.total,
            completed=record.completed,
            failed=record.failed,
            cancelled=record.cancelled,
        )

    @property
    def progress(self) -> tuple[int, int]:
        """Jobs that have ended, and all that were made."""
        return (self._record.done, self._record.total)

    @property
    def on_complete(self) -> Job | None:
        """The job that runs, or ran last, when all had ended; None if none was asked for.

        Read at each call. None, too, when it was removed.
        """
        if not self._record.follower_ids:
            return None
        record = self._installation.store.get(self._record.follower_ids[-1])
        return None if record is None else Job(record, self._installation)

    def children(self, state: State | str | None = None) -> Iterator[Job]:
        """Its jobs, in the order they were made, a hundred read at a time; or those in a state.

        Jobs that were removed, or are kept no longer, are not among them.

        Raises: InvalidName, when there is no such state.
        """
        states = None if state is None else frozenset({_state(state)})
        records = children(self.id, self._installation, states=states)
        return (Job(record, self._installation) for record in records)

    def refresh(self) -> Batch:
        """Read it again. Raises: BatchNotFound."""
        self._record = found_batch(self.id, self._installation)
        return self

    @command
    def cancel(self) -> Batch:
        """End all its jobs that have not ended, and all that depend on them.

        One that is still being made, or that nobody makes any more, gets no more jobs, and its
        `on_complete` is cancelled, too. What a process did that died over it stays: cancel again.

        Raises: BatchNotFound; what kept some from being cancelled, after the others.
        """
        cancel_batch(self.id, self._installation)
        return self.refresh()

    @command
    def retry(self, *, retry: Retry | None = None) -> Batch:
        """Run its jobs again that failed or were cancelled; `retry` replaces their policy.

        When all have ended again, `on_complete` runs again: another job, if it ran before.

        Raises: BatchUnfinished, unless all its jobs were made; BatchNotFound; after the others were
        restarted, StillRunning, when a cancelled run winds down, and StoreUnavailable, saying how
        many were not restarted.
        """
        retry_batch(self.id, self._installation, retry=retry)
        return self.refresh()

    def wait(self, timeout: timedelta | float | None = None) -> Batch:
        """Wait until every job has ended, for `timeout` (seconds if a number) or for ever.

        Jobs that failed are no error here; `counts` says how many.

        Raises: BatchUnfinished, when not all its jobs were made and nobody is making them, as far
        as can be told; WaitTimeout; BatchNotFound.
        """
        clock = self._installation.clock
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        end = None if seconds is None or seconds == math.inf else clock.monotonic() + seconds
        pause = _FIRST_LOOK
        while not self.refresh().ended:
            if self._record.given_up(clock.now_ms()):
                raise BatchUnfinished(
                    self.id, made=self._record.total, why="it was begun days ago, and not ended"
                )
            if end is not None:
                left = end - clock.monotonic()
                if left <= 0:
                    done, total = self.progress
                    raise WaitTimeout(
                        f"batch {self.id} is still {self.state} after {seconds:g} s: {done} of "
                        f"{total} have ended"
                    )
                pause = min(pause, timedelta(seconds=left))
            clock.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_LOOK)
        return self

    def __repr__(self) -> str:
        done, total = self.progress
        return f"<Batch {self.id} {self.task} {self.state}: {done} of {total}>"


def _state(state: State | str) -> State:
    try:
        return State(state)
    except ValueError:
        raise InvalidName(f"state {state!r}: use one of {', '.join(State)}") from None
