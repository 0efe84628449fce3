"""A job that your own code has taken and must end."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, BinaryIO, Final, Protocol

from remotejob.domain.argument_checks import check_flag, plain_text, reading
from remotejob.domain.errors import (
    CommandRefused,
    Fatal,
    InvalidData,
    JobCancelled,
    JobFailed,
    JobNotFound,
    LeaseLost,
    OutputNotFound,
    StoreUnavailable,
)
from remotejob.domain.job_log import LogLine
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.domain.text import kind_of, said_by, shown
from remotejob.jobs.content import payloads
from remotejob.jobs.content.log import whole_log
from remotejob.jobs.messaging.command_events import command
from remotejob.manual.assets import read_assets
from remotejob.ports import Area
from remotejob.tasks.completion import Completion
from remotejob.tasks.forked import check_owner
from remotejob.tasks.running_job import RunningJob
from remotejob.worker.messages.settlements import Conclude, Leave, Settlement
from remotejob.worker.runs.run import Run

log = logging.getLogger(__name__)


class ReportedFailure(Exception):
    """The error given to `TakenJob.fail`, if it was no exception."""


NO_REASON: Final = "no reason was given"
"""Source: job-collection, `job.fail`: "No error information provided"."""


class Holder(Protocol):
    """Extends the lease of a taken job, and ends its run."""

    def complete(self, run: Run, completion: Completion) -> Settlement | None:
        """End the run. Return how its message was settled; None if another thread had ended it."""
        ...

    def fail(self, run: Run, error: BaseException) -> Settlement | None: ...
    def give_back(self, run: Run, reason: str) -> Settlement | None: ...
    def cancel(self, run: Run, *, antecedents: bool) -> JobRecord:
        """Cancel the run's job, and end the run. Return the record."""
        ...

    def confirm(self, run: Run) -> bool:
        """Extend the lease now; return whether that succeeded."""
        ...


class TakenJob(RunningJob):
    """A job that you have taken: yours until you end it with `done`, `fail` or `release`.

    Until then its lease is extended as long as the process lives. As a context manager, it
    completes the job without a result at the end of the block, unless you have ended it; fails it
    if an exception leaves the block; and gives it back on Ctrl-C. The exception goes on.

    Source: job-collection, `getWork`, `job.done`, `job.fail`; remotejob, `Job`.
    """

    def __init__(self, run: Run, holder: Holder) -> None:
        super().__init__(run)
        self.run: Final = run
        self._holder = holder
        self.stir()

    def _touch(self) -> Run:
        # every call of the job comes here, and counts as a sign of life
        check_owner(self._owner)
        self.stir()
        return self.run

    def stir(self) -> None:
        """Give a sign of life, as every other call does. For work without other calls."""
        self.stirred = self.run.installation.clock.monotonic()

    @property
    def record(self) -> JobRecord:
        """The whole record, as you took it, or as last read by `refresh`."""
        return self._record

    @property
    def state(self) -> State:
        """The state in `record`."""
        return self._record.state

    @property
    def ended(self) -> bool:
        """Whether this run is over: done, failed, given back, or ended from outside."""
        return self.run.ended

    def checkpoint(self, state: Any) -> None:
        """As `RunningJob.checkpoint`.

        Raises: also CommandRefused, when you have ended the job.
        """
        self._check_held()
        super().checkpoint(state)

    @command
    def done(self, result: Any = None, *, delay_dependents: timedelta = timedelta(0)) -> str | None:
        """Complete the job; durable once this returns. Return the id of the job that repeats it.

        `delay_dependents`: how long the jobs that depend on this one wait, at least.

        Raises: InvalidData, when JSON cannot write the result or the delay is invalid: the job is
        still yours; RunInterrupted, when it was no longer yours; JobFailed, when the result could
        not be stored; CommandRefused, when you had ended it before.
        Source: job-collection, `job.done`, with `delayDeps` and `repeatId`.
        """
        if result is not None:
            payloads.encode_result(result)
        completion = Completion(result=result, delay_dependents=delay_dependents)
        self._check_held()
        settlement = self._holder.complete(self.run, completion)
        self._raise_if_stopped()
        self._check_taken(settlement)
        if not (isinstance(settlement, Conclude) and settlement.record.state is State.COMPLETED):
            raise JobFailed(
                f"job {self.id}: the result could not be stored, so this run has failed"
            )
        return settlement.record.next_id

    @command
    def fail(
        self,
        error: str | BaseException | Mapping[str, Any] | None = None,
        *,
        fatal: bool = False,
    ) -> None:
        """Fail this run: the job runs again if its own retry policy says so.

        Without an error, the reason says that none was given. `fatal`: no more runs, whatever the
        policy.

        Raises: InvalidData, when the error has another type, or JSON cannot write it;
        RunInterrupted, when the job was no longer yours; CommandRefused, when you had ended it.
        Source: job-collection, `job.fail`.
        """
        check_flag("fatal", fatal)
        raised = _as_exception(error)
        if fatal and not isinstance(raised, Fatal):
            final = Fatal(
                f"{kind_of(raised)}: {said_by(raised)}" if raised is error else str(raised)
            )
            final.__cause__ = raised
            raised = final
        self._check_held()
        settlement = self._holder.fail(self.run, raised)
        self._raise_if_stopped()
        self._check_taken(settlement)

    @command
    def refresh(self) -> TakenJob:
        """Read the record again. That changes nothing about your hold on the job.

        Raises: JobNotFound.
        """
        check_owner(self._owner)
        record = self._installation.store.get(self.id)
        if record is None:
            raise JobNotFound(self.id)
        self._record = record
        return self

    def logs(self) -> list[LogLine]:
        """What `record` and its notes have of the log; lines of this run come with a heartbeat."""
        return whole_log(self._record, self._installation)

    @command
    def cancel(self, *, antecedents: bool = False) -> None:
        """Cancel the job and all jobs that depend on it, and end this run.

        `antecedents` also cancels the jobs it depends on.

        Raises: RunInterrupted, when it was no longer yours; CommandRefused, when you had ended it;
        AccessProblem, unless you are also a manager.
        """
        self._check_held()
        self._record = self._holder.cancel(self.run, antecedents=antecedents)

    @command
    def release(self) -> None:
        """Give the job back: it can run again at once, and this run does not count as an attempt.

        Raises: RunInterrupted, when it was no longer yours; CommandRefused, when you had ended it.
        """
        self._check_held()
        # it says that nothing was done: the job may run again even if it must not run twice
        self.run.wait_to_begin()
        settlement = self._holder.give_back(self.run, f"job {self.id} was given back")
        self._check_taken(settlement)

    def acknowledge(self) -> None:
        """Make sure that the job is yours, for a whole lease from now: one heartbeat.

        The JavaScript remotejob deletes the job's message here, before the work, and loses the job
        if the worker dies. We delete the message when the job has an outcome.

        Raises: RunInterrupted, when it is not yours; StoreUnavailable, when that is unknown.
        """
        run = self._touch()
        run.check()
        if not self._holder.confirm(run):
            run.check()
            raise StoreUnavailable(
                f"job {self.id}: its lease could not be extended just now; try again"
            )

    def open(self, name: str | None = None) -> BinaryIO:
        """A stream of the input, or of an output of this run; close it.

        Raises: OutputNotFound, naming the files that exist; NoInput, when the job has no input;
        FileGone; FileUnreadable.
        """
        run = self._touch()
        outputs = {output.name: output for output in run.workspace.outputs}
        text = plain_text(name)
        if name is None or (text not in outputs and text and text == self.filename):
            return super().open()
        run.check()
        if text is None or text not in outputs:
            known = ", ".join([*outputs, *([self.filename] if self.filename else [])]) or "none"
            raise OutputNotFound(f"job {self.id} has no file {shown(name)} so far; it has {known}")
        files = self._installation.files
        return files.open(files.bucket(Area.OUTPUT), outputs[text].key)

    def create_read_stream(self, name: str | None = None) -> BinaryIO:
        """The same as `open`. Source: remotejob, `Job#createReadStream`."""
        return self.open(name)

    def complete(
        self,
        error: str | BaseException | Mapping[str, Any] | None,
        assets: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Fail the job if there is an error; else store the assets as outputs, and complete it.

        An asset has a `body` (bytes, a path, or a file open in mode 'rb') and is stored under its
        `filename`, `key` or `name`, whichever it has first, or else under `output`.

        Raises: InvalidInput, before anything is stored; else as `done` and `fail`.
        Source: remotejob, `Job#complete`, which ignores the error.
        """
        if error is not None:
            self.fail(error)
            return
        for asset in read_assets(assets):
            self.output(asset.name, asset.body)
        self.done()

    def __enter__(self) -> TakenJob:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if os.getpid() != self._owner:
            # a forked copy leaves the block: the job is its parent's
            return
        if error is None:
            if not self.ended:
                self.done()
            return
        try:
            if isinstance(error, Exception):
                self._holder.fail(self.run, error)
            else:
                self._holder.give_back(self.run, f"{type(error).__name__} in the code that took it")
        except Exception:
            # let the block's own error go on; the lease will end by itself
            log.exception("run not ended", extra=self.run.context.fields)

    def _check_held(self) -> None:
        """Raises: RunInterrupted or CommandRefused, when the run has ended."""
        check_owner(self._owner)
        if self.ended:
            self._raise_if_stopped()
            raise CommandRefused(
                "end",
                job_id=self.id,
                state="ended here already, by done, fail or release",
                allowed=[State.RUNNING],
            )

    def _raise_if_stopped(self) -> None:
        stopped = self.run.stop_signal.reason
        if stopped is not None:
            raise stopped

    def _check_taken(self, settlement: Settlement | None) -> None:
        """Raises: RunInterrupted or CommandRefused, when ending the run had no effect."""
        if settlement is None:
            self._check_held()
        if isinstance(settlement, Conclude):
            self._record = settlement.record
        if isinstance(settlement, Leave):
            raise LeaseLost(f"job {self.id} belongs to another run: this outcome came too late")
        if isinstance(settlement, Conclude) and settlement.record.state is State.CANCELLED:
            raise JobCancelled(f"job {self.id} was cancelled")

    def __repr__(self) -> str:
        return f"<TakenJob {self.id} {self.task} attempt {self.attempt}>"


def _as_exception(error: object) -> BaseException:
    if isinstance(error, BaseException):
        return error
    text = NO_REASON if error is None else plain_text(error)
    if text is not None:
        return ReportedFailure(text)
    if isinstance(error, Mapping):
        with reading("the error"):
            fields = dict(error)
        return ReportedFailure(payloads.encode(fields, what="the error"))
    raise InvalidData(f"fail({shown(error)}): give the reason as text, an exception, or a dict")
