"""A job, as its creator sees it."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from remotejob.domain.errors import (
    JobFailed,
    JobNotFound,
    JobUnfinished,
    WaitTimeout,
)
from remotejob.domain.record import (
    Failure,
    JobRecord,
    LogLine,
    OutputFile,
    output_prefix,
    outputs_from_json,
)
from remotejob.domain.repeat import Repeat
from remotejob.domain.retry import Retry
from remotejob.domain.states import State
from remotejob.domain.times import from_ms
from remotejob.jobs.commands import commands
from remotejob.jobs.content import payloads
from remotejob.jobs.content.log import whole_log
from remotejob.jobs.content.outputs import Output, Outputs
from remotejob.jobs.content.view import JobView
from remotejob.jobs.messaging.command_events import command
from remotejob.jobs.queries.why import Reason, why
from remotejob.jobs.submission.repeats import rerun
from remotejob.names import FAILURE_NOTES
from remotejob.ports import Area

if TYPE_CHECKING:
    from remotejob.client.replay_here import OnError, Replayed, Tasks
    from remotejob.jobs.queries.receipts import Receipt

_FIRST_LOOK: Final = timedelta(milliseconds=100)
_LONGEST_LOOK: Final = timedelta(seconds=2)


class Job(JobView):
    """A job as it stood when it was last read; `refresh` reads it again."""

    @property
    def state(self) -> State:
        return self._record.state

    @property
    def ended(self) -> bool:
        """Whether it has ended: completed, failed or cancelled."""
        return self._record.terminal

    @property
    def depends(self) -> tuple[str, ...]:
        """Ids of the jobs it runs after."""
        return self._record.depends

    @property
    def next_id(self) -> str | None:
        """The job that repeats this one, once this one completed."""
        return self._record.next_id

    @property
    def due_at(self) -> datetime | None:
        """When a waiting job may run."""
        due = self._record.due_ms
        return None if due is None else from_ms(due)

    @property
    def started_at(self) -> datetime | None:
        """When the current or last run began."""
        started = self._record.started_ms
        return None if started is None else from_ms(started)

    @property
    def finished_at(self) -> datetime | None:
        finished = self._record.finished_ms
        return None if finished is None else from_ms(finished)

    @property
    def progress(self) -> tuple[float, float]:
        """Done and total, as the task last reported."""
        return self._record.progress

    @property
    def last_checkpoint(self) -> Any:
        """What the next run, or the one that goes on, would be resumed from; None if there is
        nothing, as in a job that has completed.

        Raises: FileNotFoundError, when it was too long for the record and is kept no longer.
        """
        return None if self.state is State.COMPLETED else self._checkpoint()

    @property
    def errors(self) -> tuple[Failure, ...]:
        """The last failed runs, oldest first."""
        return self._record.errors

    @property
    def record(self) -> JobRecord:
        """Everything the record says, as it is stored."""
        return self._record

    @property
    def result(self) -> Any:
        """What the task returned.

        Raises: JobUnfinished; JobFailed, with the last error, when it failed or was cancelled.
        """
        record = self._record
        if not record.terminal:
            raise JobUnfinished(f"job {record.id} is {record.state}; call wait() first")
        if record.state is not State.COMPLETED:
            raise JobFailed(_reason(record))
        text = payloads.load_text(
            self._installation.files, Area.OUTPUT, record.result_json, record.result_ref
        )
        return None if text is None else json.loads(text)

    @property
    def outputs(self) -> Outputs:
        """The files the committed run made; none before the job is completed."""
        record = self._record
        files: tuple[OutputFile, ...] = ()
        if record.state is State.COMPLETED and record.run_id is not None:
            text = payloads.load_text(
                self._installation.files, Area.OUTPUT, record.outputs_json, record.outputs_ref
            )
            prefix = output_prefix(queue=record.queue, job_id=record.id, run_id=record.run_id)
            files = outputs_from_json(text, prefix=prefix) if text else ()
        outputs = tuple(Output(file, self._installation) for file in files)
        return Outputs(outputs, job_id=record.id, state=record.state)

    def logs(self) -> list[LogLine]:
        """Everything the job logged, over all its runs, oldest first."""
        return whole_log(self._record, self._installation)

    def tracebacks(self) -> list[str]:
        """Of every run that failed, in order of their count; not of those whose worker died.

        Source: job-collection, `failures` of a job document.
        """
        notes = self._installation.store.notes(self.id, FAILURE_NOTES)
        return [text for _name, text in notes]

    def refresh(self) -> Job:
        """Read the record again.

        Raises: JobNotFound.
        """
        record = self._installation.store.get(self.id)
        if record is None:
            raise JobNotFound(self.id)
        self._record = record
        return self

    def why(self) -> Reason:
        """Why the job does not run, or that it does: what it waits for at this moment.

        Reads the record again, and whatever else it takes to tell.

        Raises: JobNotFound.
        """
        return why(self.refresh()._record, self._installation)

    @command
    def pause(self) -> Job:
        """Keep the job from starting, until it is resumed. A running job cannot be paused.

        Raises: CommandRefused, naming the states that allow it; JobNotFound.
        """
        self._record = commands.pause(self.id, self._installation)
        return self

    @command
    def resume(self) -> Job:
        """Let a paused job go on, due no earlier than before.

        Raises: CommandRefused; JobNotFound.
        """
        self._record = commands.resume(self.id, self._installation)
        return self

    @command
    def make_ready(self, at: datetime | None = None, *, independent: bool = False) -> Job:
        """Let a waiting job run now, or at `at`, whatever its time was.

        `independent`: it does not wait for the jobs it depends on either, for it depends on them
        no more. One that follows a batch still waits for that.

        Raises: CommandRefused, unless it is waiting; JobNotFound.
        Source: job-collection, `job.ready`, with `time` and `force`.
        """
        self._record = commands.make_ready(
            self.id, self._installation, at=at, independent=independent
        )
        return self

    @command
    def cancel(self, *, antecedents: bool = False) -> Job:
        """End the job, and all that depend on it. If it runs, it is stopped at its next heartbeat.

        `antecedents`: the jobs it depends on, too.

        Raises: CommandRefused, when it has ended already; JobNotFound.
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
        """Run the job again after it failed or was cancelled; its failures count from nothing.

        `retry` replaces its policy. `antecedents`: jobs it still waits for that failed or were
        cancelled are restarted as well. `dependents`: those that were cancelled with it, too.

        Raises: CommandRefused; JobNotFound; DependencyEnded; StillRunning.
        Source: job-collection, `job.restart`.
        """
        self._record = commands.restart(
            self.id,
            self._installation,
            retry=retry,
            antecedents=antecedents,
            dependents=dependents,
        )
        return self

    @command
    def rerun(self, *, repeat: Repeat | None = None, wait: timedelta = timedelta(0)) -> Job:
        """Make a new job like this one, which is completed; return the new one.

        It repeats only as asked for here.

        Raises: CommandRefused, unless this one is completed; JobNotFound.
        Source: job-collection, `job.rerun`.
        """
        record = rerun(self.id, self._installation, repeat=repeat, wait=wait)
        return Job(record, self._installation)

    def receipt(self) -> Receipt:
        """What the job took so far, as of when it was last read: calls, seconds, about how much."""
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
        """Run a job that has ended again, as a new job with the same data and the same version of
        its input, on its own queue or another; return the new one.

        Raises: CommandRefused, while it has not ended; JobNotFound; UnknownQueue; UnknownTask;
        InvalidBody, when that version of the input is kept no longer.
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

        `tasks` is a registry or the function itself; default where `@task` registers. What the
        task reads is the system's; what it writes stays here, and the system learns nothing.

        Raises: InvalidName, when the task is not there; InvalidBody, when that version of the
        input is kept no longer; what the task raises, with `on_error="raise"`.
        """
        from remotejob.client.replay_here import replay_here

        return replay_here(self._record, self._installation, tasks=tasks, on_error=on_error)

    @command
    def remove(self) -> None:
        """Take away the job, which has ended, with its log, its outputs and its own input.

        Raises: CommandRefused, while it has not ended; JobNotFound; StillRunning.
        """
        commands.remove(self.id, self._installation)

    def wait(self, timeout: timedelta | float | None = None) -> Job:
        """Wait until the job has ended, for `timeout` (seconds if a number) or for ever.

        A job that failed is no error here; `result` says so.

        Raises: WaitTimeout; JobNotFound.
        """
        clock = self._installation.clock
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        end = None if seconds is None or seconds == math.inf else clock.monotonic() + seconds
        pause = _FIRST_LOOK
        while not self.refresh().ended:
            if end is not None:
                left = end - clock.monotonic()
                if left <= 0:
                    raise WaitTimeout(f"job {self.id} is still {self.state} after {seconds:g} s")
                pause = min(pause, timedelta(seconds=left))
            clock.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_LOOK)
        return self

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.task} {self.state}>"


def _reason(record: JobRecord) -> str:
    if record.state is State.FAILED and record.errors:
        last = record.errors[-1]
        return f"job {record.id} failed: {last.kind}: {last.message}"
    return f"job {record.id} was {record.state}"
