"""A job in the client: its state, result, outputs and log, and the commands on it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from remotejob.client.waiting import poll_until
from remotejob.domain.errors import (
    JobNotFound,
    WaitTimeout,
)
from remotejob.domain.job_log import LogLine
from remotejob.domain.record import JobRecord
from remotejob.domain.repeat import Repeat
from remotejob.domain.retry import Retry
from remotejob.domain.start_limits import last_start_ms
from remotejob.domain.states import State
from remotejob.domain.times import from_ms
from remotejob.jobs.commands import commands
from remotejob.jobs.commands.restart import restart
from remotejob.jobs.content.log import whole_log
from remotejob.jobs.content.results import ResultView
from remotejob.jobs.messaging.command_events import command
from remotejob.jobs.queries.why import Reason, throttled_by, why
from remotejob.jobs.submission.rerun import rerun
from remotejob.names import FAILURE_NOTES

if TYPE_CHECKING:
    from remotejob.client.replay_here import OnError, Replayed, Tasks
    from remotejob.jobs.queries.receipts import Receipt

_LONGEST_PAUSE: Final = timedelta(seconds=2)


class Job(ResultView):
    """A job as it was when last read; `refresh` reads it again."""

    @property
    def next_id(self) -> str | None:
        """Id of the job that repeats this one; set once this one has ended."""
        return self._record.next_id

    def next_job(self) -> Job | None:
        """The job that repeats this one, as it is now: `due_at` says when it runs.

        None if there is none, or it was removed. Reads its record.
        """
        next_id = self._record.next_id
        record = None if next_id is None else self._installation.store.get(next_id)
        return None if record is None else Job(record, self._installation)

    @property
    def expires_at(self) -> datetime | None:
        """Until when a run of it may begin, by its `expires` or the `until` of its retry policy.

        None if there is no such limit, or it counts from a time that is not known yet.
        """
        last = last_start_ms(self._record)
        return None if last is None else from_ms(last)

    @property
    def crash_limit(self) -> int | None:
        """How many deaths of its worker it may survive; None for the default of two."""
        return self._record.crash_limit

    @property
    def progress(self) -> tuple[float, float]:
        """Done and total, as the task last reported."""
        return self._record.progress

    @property
    def last_checkpoint(self) -> Any:
        """The checkpoint the next run would resume from; None without one, or once completed.

        Raises: FileNotFoundError, when it was too large for the record and its file has expired.
        """
        return None if self.state is State.COMPLETED else self._checkpoint(self._record)

    @property
    def record(self) -> JobRecord:
        """The whole record, as stored."""
        return self._record

    def logs(self) -> list[LogLine]:
        """Everything the job logged, in all its runs, oldest first."""
        return whole_log(self._record, self._installation)

    def tracebacks(self) -> list[str]:
        """The traceback of each failed run, oldest first. A run whose worker died has none.

        Source: job-collection, `failures` of a job document.
        """
        notes = self._installation.store.notes(self.id, FAILURE_NOTES)
        return [text for _name, text in notes]

    @command
    def refresh(self) -> Job:
        """Read the record again.

        Raises: JobNotFound.
        """
        return self._read_again()

    def _read_again(self) -> Job:
        record = self._installation.store.get(self.id)
        if record is None:
            raise JobNotFound(self.id)
        self._record = record
        return self

    def why(self) -> Reason:
        """Why the job is not running: what it is waiting for at this moment.

        Reads the record again, and whatever else the answer needs.

        Raises: JobNotFound.
        """
        try:
            return why(self._read_again()._record, self._installation)
        except Exception as problem:
            throttled = throttled_by(problem)
            if throttled is None:
                raise
            return throttled

    @command
    def pause(self) -> Job:
        """Keep the job from starting until it is resumed. A running job cannot be paused.

        Raises: CommandRefused, which names the states that allow it; JobNotFound.
        """
        self._record = commands.pause(self.id, self._installation)
        return self

    @command
    def resume(self) -> Job:
        """Resume a paused job. It is due no earlier than before.

        Raises: CommandRefused; JobNotFound.
        """
        self._record = commands.resume(self.id, self._installation)
        return self

    @command
    def make_ready(self, at: datetime | None = None, *, independent: bool = False) -> Job:
        """Let a waiting job run now, or at `at`, whenever it was due before.

        `independent` also drops its dependencies, so it no longer waits for those jobs. The
        `on_complete` job of a batch still waits for the batch.

        Raises: CommandRefused, unless the job is waiting; JobNotFound.
        Source: job-collection, `job.ready`, with `time` and `force`.
        """
        self._record = commands.make_ready(
            self.id, self._installation, at=at, independent=independent
        )
        return self

    @command
    def cancel(self, *, antecedents: bool = False) -> Job:
        """Cancel the job and all jobs that depend on it. A running job stops at its next heartbeat.

        `antecedents` also cancels the jobs it depends on.

        Raises: CommandRefused, when it has already ended; JobNotFound.
        """
        self._record = commands.cancel(self.id, self._installation, antecedents=antecedents)
        return self

    @command
    def restart(
        self,
        *,
        retry: Retry | None = None,
        antecedents: bool = True,
        dependents: bool = False,
    ) -> Job:
        """Run the job again after it failed or was cancelled; its failure count starts from zero.

        `retry` replaces its retry policy. `antecedents` also restarts failed or cancelled jobs it
        still waits for; `dependents` also restarts jobs that were cancelled with it.

        Raises: CommandRefused; JobNotFound; DependencyEnded; StillRunning.
        Source: job-collection, `job.restart`.
        """
        self._record = restart(
            self.id,
            self._installation,
            retry=retry,
            antecedents=antecedents,
            dependents=dependents,
        )
        return self

    @command
    def rerun(self, *, repeat: Repeat | None = None, wait: timedelta = timedelta(0)) -> Job:
        """Submit a copy of this job, which must be completed; return the copy.

        The copy repeats only if you pass `repeat`.

        Raises: CommandRefused, unless this job is completed; JobNotFound.
        Source: job-collection, `job.rerun`.
        """
        record = rerun(self.id, self._installation, repeat=repeat, wait=wait)
        return Job(record, self._installation)

    def receipt(self) -> Receipt:
        """What the job used until it was last read: calls, seconds, and the approximate cost."""
        from remotejob.jobs.queries.prices import list_prices
        from remotejob.jobs.queries.receipts import receipt

        queue = self._installation.queues.get(self.queue)
        return receipt(
            self._record,
            now_ms=self._installation.clock.now_ms(),
            size=None if queue is None else queue.size,
            prices=list_prices(),
        )

    @command
    def replay(self, queue: str | None = None) -> Job:
        """Run an ended job again, as a new job on its own queue or another; return the new job.

        It gets the same data and the same version of the input.

        Raises: CommandRefused, while this job has not ended; JobNotFound; UnknownQueue;
        UnknownTask; InvalidBody, when that version of the input has expired.
        """
        from remotejob.jobs.submission.replay import replay

        return Job(replay(self.id, self._installation, queue=queue), self._installation)

    def replay_here(
        self,
        tasks: Tasks | None = None,
        *,
        on_error: OnError | str = "keep",
    ) -> Replayed:
        """Run the job again in this process and thread, on the same data and version of its input.

        `tasks` is a registry or the function itself; default: the registry of `@task`. The task
        reads from the system, but writes only to this process's memory.

        Raises: InvalidName, when the task is not registered; InvalidBody, when that version of the
        input has expired; with `on_error="raise"`, whatever the task raises.
        """
        from remotejob.client.replay_here import replay_here

        return replay_here(self, tasks=tasks, on_error=on_error)

    @command
    def remove(self) -> None:
        """Delete an ended job with its log, its outputs, and the input uploaded for it.

        Raises: CommandRefused, while the job has not ended; JobNotFound; StillRunning.
        """
        commands.remove(self.id, self._installation)

    def wait(self, timeout: timedelta | float | None = None) -> Job:
        """Wait until the job has ended, up to `timeout` (seconds if a number), default for ever.

        A failed job is not an error here; reading its `result` is.

        Raises: WaitTimeout; JobNotFound; InvalidData, unless the timeout is zero or more.
        """
        poll_until(
            lambda: self._read_again().ended,
            timeout=timeout,
            longest_pause=_LONGEST_PAUSE,
            clock=self._installation.clock,
            timed_out=lambda seconds: WaitTimeout(
                f"job {self.id} is still {self.state} after {seconds:g} s"
            ),
        )
        return self

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.task} {self.state}>"
