"""A batch: many jobs submitted as one, to follow, cancel, retry and wait for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from remotejob.client.job import Job
from remotejob.client.waiting import poll_until
from remotejob.domain.batches import BatchRecord, BatchState
from remotejob.domain.errors import BatchUnfinished, WaitTimeout
from remotejob.domain.retry import Retry
from remotejob.domain.states import State
from remotejob.domain.times import from_ms
from remotejob.jobs.commands.batch_commands import cancel_batch, children, find_batch, retry_batch
from remotejob.jobs.messaging.command_events import command
from remotejob.jobs.queries.listing import state_named
from remotejob.ports import Installation

_LONGEST_PAUSE: Final = timedelta(seconds=5)


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchCounts:
    """The jobs of a batch, counted by state."""

    total: int
    """All jobs; while the batch is still being made, the jobs made so far."""
    completed: int
    failed: int
    cancelled: int

    @property
    def done(self) -> int:
        """Jobs that have ended: completed, failed or cancelled."""
        return self.completed + self.failed + self.cancelled

    @property
    def left(self) -> int:
        """Jobs that have not ended."""
        return self.total - self.done


class Batch:
    """A batch as it was when last read; `refresh` reads it again."""

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
        """The name given to `map`."""
        return self._record.name

    @property
    def created_at(self) -> datetime:
        return from_ms(self._record.created_ms)

    @property
    def state(self) -> BatchState:
        return self._record.state

    @property
    def whole(self) -> bool:
        """Whether all its jobs were made. If the process making them died, they never will be."""
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
        """Jobs that have ended, and all jobs made."""
        return (self._record.done, self._record.total)

    @property
    def on_complete(self) -> Job | None:
        """The job that runs once all jobs have ended (the latest one, after `retry`).

        None if `map` was given none, or if it was removed. Reads the record at each call.
        """
        if not self._record.follower_ids:
            return None
        record = self._installation.store.get(self._record.follower_ids[-1])
        return None if record is None else Job(record, self._installation)

    def children(self, state: State | str | None = None) -> Iterator[Job]:
        """Its jobs, or those in one state, in the order they were made. Reads a hundred at a time.

        Leaves out jobs that were removed or whose retention has ended.

        Raises: InvalidName, when there is no such state.
        """
        states = None if state is None else frozenset({state_named(state)})
        records = children(self.id, self._installation, states=states)
        return (Job(record, self._installation) for record in records)

    def refresh(self) -> Batch:
        """Read the batch again. Raises: BatchNotFound."""
        self._record = find_batch(self.id, self._installation)
        return self

    @command
    def cancel(self) -> Batch:
        """Cancel all its jobs that have not ended, and all jobs that depend on them.

        If the batch is incomplete, because it is still being made or its maker died, it gets no
        more jobs and its `on_complete` is cancelled too. If this process dies half-way, jobs it
        cancelled stay cancelled: call `cancel` again.

        Raises: BatchNotFound; after trying every job, the error of one that was not cancelled.
        """
        cancel_batch(self.id, self._installation)
        return self.refresh()

    @command
    def retry(self, *, retry: Retry | None = None) -> Batch:
        """Restart its failed and cancelled jobs; `retry` replaces their retry policy.

        Once all have ended, `on_complete` runs again, as a new job if it already ran.

        Raises: BatchUnfinished, unless all its jobs were made; BatchNotFound. After restarting the
        other jobs: StillRunning, when a cancelled run is still winding down; StoreUnavailable,
        which says how many were not restarted.
        """
        retry_batch(self.id, self._installation, retry=retry)
        return self.refresh()

    def wait(self, timeout: timedelta | float | None = None) -> Batch:
        """Wait until every job has ended, up to `timeout` (seconds if a number), default for ever.

        Failed jobs are not an error here; see `counts`.

        Raises: BatchUnfinished, when not all its jobs were made and nobody seems to be making them;
        WaitTimeout; BatchNotFound.
        """
        clock = self._installation.clock

        def ended() -> bool:
            if self.refresh().ended:
                return True
            if self._record.given_up(clock.now_ms()):
                raise BatchUnfinished(
                    self.id,
                    made=self._record.total,
                    why="it was started days ago and never finished",
                )
            return False

        def timed_out(seconds: float) -> WaitTimeout:
            done, total = self.progress
            return WaitTimeout(
                f"batch {self.id} is still {self.state} after {seconds:g} s: {done} of {total} "
                "have ended"
            )

        poll_until(
            ended,
            timeout=timeout,
            longest_pause=_LONGEST_PAUSE,
            clock=clock,
            timed_out=timed_out,
        )
        return self

    def __repr__(self) -> str:
        done, total = self.progress
        return f"<Batch {self.id} {self.task} {self.state}: {done} of {total}>"
