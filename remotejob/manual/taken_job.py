"""A job, as whoever took it by hand sees it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, BinaryIO, Final, Protocol

from remotejob.domain.errors import (
    CommandRefused,
    Fatal,
    InvalidData,
    JobCancelled,
    JobFailed,
    LeaseLost,
    OutputNotFound,
    StoreUnavailable,
)
from remotejob.domain.states import State
from remotejob.jobs.content import payloads
from remotejob.jobs.messaging.command_events import command
from remotejob.manual.assets import read_assets
from remotejob.manual.options import check_span
from remotejob.ports import Area
from remotejob.tasks.completion import Completion
from remotejob.tasks.running_job import RunningJob
from remotejob.worker.messages.settlements import Conclude, Leave, Settlement
from remotejob.worker.runs.run import Run

log = logging.getLogger(__name__)


class ReportedFailure(Exception):
    """What `TakenJob.fail` was told, where that was no exception."""


class Holder(Protocol):
    """What keeps the lease of a taken job alive, and ends its run."""

    def complete(self, run: Run, completion: Completion) -> Settlement | None:
        """What happens to the run's message; None when another thread has ended the run."""
        ...

    def fail(self, run: Run, error: BaseException) -> Settlement | None: ...
    def give_back(self, run: Run, reason: str) -> Settlement | None: ...
    def confirm(self, run: Run) -> bool:
        """Extend the lease now. Whether that succeeded."""
        ...


class TakenJob(RunningJob):
    """A job taken by hand: yours until you end it with `done`, `fail` or `release`.

    Its lease is kept alive meanwhile, as long as the process lives. As a context manager it is
    done with no result when the block ends without a word, failed when an exception leaves it, and
    given back on Ctrl-C; the exception goes on.

    Source: job-collection, `getWork`, `job.done`, `job.fail`; remotejob, `Job`.
    """

    def __init__(self, run: Run, holder: Holder) -> None:
        super().__init__(run)
        self.run: Final = run
        self._holder = holder
        self.stir()

    def _touch(self) -> Run:
        # every call of the job comes here, and each is a sign of life
        self.stir()
        return self.run

    def stir(self) -> None:
        """Give a sign of life, as every other call does: for work that calls nothing else."""
        self.stirred = self.run.installation.clock.monotonic()

    @property
    def ended(self) -> bool:
        """Whether this run is over: done, failed, given back, or ended from outside."""
        return self.run.ended

    def checkpoint(self, state: Any) -> None:
        """As in a task; see `RunningJob.checkpoint`.

        Raises: also CommandRefused, when you have ended the job.
        """
        self._check_held()
        super().checkpoint(state)

    @command
    def done(self, result: Any = None, *, delay_dependents: timedelta = timedelta(0)) -> str | None:
        """Complete the job. Once this returns that is durable; the id of the job that repeats it.

        `delay_dependents`: how long after it the jobs that depend on this one become due, at the
        earliest.

        Raises: InvalidData, for a result JSON cannot write, or a delay that is none: the job is
        still yours;
        RunInterrupted, when it was no longer; JobFailed, when the result could not be kept;
        CommandRefused, when you had ended it before.
        Source: job-collection, `job.done`, with `delayDeps` and `repeatId`.
        """
        if result is not None:
            payloads.encode(result, what="the result")
        check_span("delay_dependents", delay_dependents)
        self._check_held()
        completion = Completion(result=result, delay_dependents=delay_dependents)
        settlement = self._holder.complete(self.run, completion)
        self._raise_if_stopped()
        self._check_taken(settlement)
        if not (isinstance(settlement, Conclude) and settlement.record.state is State.COMPLETED):
            raise JobFailed(f"job {self.id}: the result could not be kept, so this run has failed")
        return settlement.record.next_id

    @command
    def fail(self, error: str | BaseException | Mapping[str, Any], *, fatal: bool = False) -> None:
        """Fail this run: the job runs again as its retry policy says, or has failed.

        `fatal`: no more runs, whatever the policy. Without a policy of the job's own, there is
        none.

        Raises: InvalidData, when the error is none of the three, or JSON cannot write it;
        RunInterrupted, when the job was no longer yours; CommandRefused, when you had ended it.
        Source: job-collection, `job.fail`.
        """
        raised = _as_exception(error)
        if fatal and not isinstance(raised, Fatal):
            said = Fatal(f"{type(raised).__name__}: {raised}" if raised is error else str(raised))
            said.__cause__ = raised
            raised = said
        self._check_held()
        settlement = self._holder.fail(self.run, raised)
        self._raise_if_stopped()
        self._check_taken(settlement)

    @command
    def release(self) -> None:
        """Give the job back: another run takes it up at once, and this one does not count.

        Raises: RunInterrupted, when it was no longer yours; CommandRefused, when you had ended it.
        """
        self._check_held()
        settlement = self._holder.give_back(self.run, f"job {self.id} was given back")
        self._check_taken(settlement)

    def acknowledge(self) -> None:
        """Make sure that the job is yours, for a whole lease from now.

        Where remotejob removes the job's message before the work, and loses the job when the
        worker dies, the message here is deleted once there is an outcome. What is left of
        acknowledging is one heartbeat.

        Raises: RunInterrupted, when it is not; StoreUnavailable, when that cannot be found out.
        """
        run = self._touch()
        run.check()
        if not self._holder.confirm(run):
            run.check()
            raise StoreUnavailable(
                f"job {self.id}: its lease could not be extended just now; try again"
            )

    def open(self, name: str | None = None) -> BinaryIO:
        """A stream of the input, or of a file this run has put out; close it.

        Raises: OutputNotFound, naming what there is; NoInput, when the job has none;
        FileNotFoundError, when it is gone.
        """
        run = self._touch()
        outputs = {output.name: output for output in run.workspace.outputs}
        if name is None or (name not in outputs and name == self.filename):
            return super().open()
        run.check()
        if name not in outputs:
            known = ", ".join([*outputs, *([self.filename] if self.filename else [])]) or "none"
            raise OutputNotFound(f"job {self.id} has no file {name!r} so far; it has {known}")
        files = self._installation.files
        return files.open(files.bucket(Area.OUTPUT), outputs[name].key)

    def create_read_stream(self, name: str | None = None) -> BinaryIO:
        """`open`. Source: remotejob, `Job#createReadStream`."""
        return self.open(name)

    def complete(
        self,
        error: str | BaseException | Mapping[str, Any] | None,
        assets: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Fail the job where there is an error, else keep the assets as its outputs: it is done.

        An asset says `body` (bytes, a path, or a file open for reading in binary) and `filename`,
        under which it is kept, or else its `key` or `name`, or else `output`.

        Raises: InvalidInput, before anything is stored; else as `done` and `fail`.
        Source: remotejob, `Job#complete`, which takes no notice of the error.
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
        if error is None:
            if not self.ended:
                self.done()
            return
        try:
            if isinstance(error, Exception):
                self._holder.fail(self.run, error)
            else:
                self._holder.give_back(self.run, f"{type(error).__name__} in whoever took it")
        except Exception:
            # what left the block matters more, and goes on; the lease will end by itself
            log.exception("run not ended", extra=self.run.context.fields)

    def _check_held(self) -> None:
        """Raises: RunInterrupted, CommandRefused; when the run has been ended."""
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
        """Raises: RunInterrupted, CommandRefused; when an ending did not count."""
        if settlement is None:
            self._check_held()
        if isinstance(settlement, Leave):
            raise LeaseLost(f"job {self.id} belongs to another run: this outcome came too late")
        if isinstance(settlement, Conclude) and settlement.record.state is State.CANCELLED:
            raise JobCancelled(f"job {self.id} was cancelled")

    def __repr__(self) -> str:
        return f"<TakenJob {self.id} {self.task} attempt {self.attempt}>"


def _as_exception(error: object) -> BaseException:
    match error:
        case BaseException():
            return error
        case str():
            return ReportedFailure(error)
        case Mapping():
            return ReportedFailure(payloads.encode(dict(error), what="the error"))
    raise InvalidData(f"fail({error!r}): say why, as text, an exception, or a dict")
