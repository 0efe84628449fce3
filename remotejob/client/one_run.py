"""One run of one job in this thread, by the worker's own code and rules, in a system of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, cast

from remotejob.client.job import Job
from remotejob.client.overlaid_system import overlaid
from remotejob.domain.argument_checks import is_a
from remotejob.domain.errors import JobCancelled, UnreadableItem
from remotejob.domain.ids import partition_of
from remotejob.domain.job_log import Level, LogLine
from remotejob.domain.record import JobRecord, OutputFile
from remotejob.domain.start_limits import LIFTED_MS
from remotejob.domain.states import State
from remotejob.jobs.commands import commands
from remotejob.jobs.content import payloads
from remotejob.jobs.content.log import whole_log
from remotejob.jobs.content.outputs import Output
from remotejob.jobs.messaging.messages import Pending
from remotejob.jobs.submission.replay import replay_data, replay_input
from remotejob.ports import Address, Channel, Installation, Received
from remotejob.tasks.completion import Completion
from remotejob.tasks.running_job import RunHandle
from remotejob.tasks.task import Task
from remotejob.worker.executors.in_thread import call_here
from remotejob.worker.messages.handler import MessageHandler
from remotejob.worker.messages.settlements import DeadLetter
from remotejob.worker.runs.in_flight import InFlight
from remotejob.worker.runs.run import Run

_WORKER: Final = "this process"


class Observer:
    """Hears of a run while it goes on; a base class that does nothing."""

    def line(self, level: Level, message: str, data: Any) -> None:
        """The task logged a line."""

    def progress(self, done: float, total: float) -> None:
        """The task reported its progress."""

    def checkpoint(self, state: Any) -> None:
        """The task stored a checkpoint, which is durable now."""

    def output(self, file: OutputFile) -> None:
        """The task stored a file."""

    def raised(self, error: BaseException) -> None:
        """The task raised an error. The run's files are still there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """How a run ended."""

    job: Job
    """The job as a worker would leave it: completed, failed, or waiting for its next run."""
    result: Any
    """After a round trip through JSON; None if it failed."""
    error: BaseException | None
    outputs: Mapping[str, Output]
    """Those of a failed run too. They live in this process's memory."""
    logs: tuple[LogLine, ...]
    progress: tuple[float, float]
    took: timedelta


class OneRun:
    """One run of a job, which changes nothing in the system that the job belongs to.

    There is no lease that could end, and no time limit.
    """

    def __init__(
        self,
        job: Job,
        task: Task,
        *,
        data_json: str | None = None,
        observer: Observer | None = None,
    ) -> None:
        """`data_json` replaces the job's data.

        Raises: InvalidBody, when the job's data or that version of its input has expired;
        FileUnreadable, when the input is in a bucket that its system does not read.
        """
        record, system = job.record, job._installation
        if data_json is None:
            replay_data(record, system)
        else:
            record = replace(record, data_json=data_json, data_ref=None)
        replay_input(record, system)
        self._record: Final = _ready(record, task)
        # the lease is the system's, which is endless here
        self._task: Final = replace(task, lease=None)
        self._here: Final = overlaid(system)
        self._observer: Final = observer or Observer()
        self._run: Run | None = None
        self._error: BaseException | None = None
        self._result: Any = None

    def run(self) -> Ran:
        """Run the task, an `async def` to its end, wherever a worker would run it.

        Raises: UnreadableItem, when no worker could run the job; JobCancelled, when it was
        cancelled before it began; KeyboardInterrupt and the like.
        """
        here, clock = self._here, self._here.clock
        here.store.put_new(self._record)
        handler = MessageHandler(
            here,
            {self._task.name: self._task},
            worker=_WORKER,
            runs=InFlight(),
            call=self._call,
            alone=lambda: True,
        )
        began = clock.monotonic()
        settlement = handler.attend(_message_of(self._record, here))
        took = timedelta(seconds=clock.monotonic() - began)
        # what ends this process, and no run of a worker
        if self._error is not None and not is_a(self._error, Exception, SystemExit):
            raise self._error
        if isinstance(settlement, DeadLetter):
            raise UnreadableItem(partition_of(self._record.id), self._record.id, settlement.reason)
        run = self._run
        if run is None:
            raise JobCancelled(f"job {self._record.id} was cancelled before it began")
        record = here.store.get(self._record.id)
        assert record is not None
        reported = JobRecord.from_item({**record.to_item(), **run.reporter.last_report()})
        return Ran(
            job=Job(reported, here),
            result=self._result,
            error=self._error,
            outputs={file.name: Output(file, here) for file in run.workspace.outputs},
            logs=tuple(whole_log(reported, here)),
            progress=reported.progress,
            took=took,
        )

    def cancel(self) -> None:
        """Cancel the job, from another thread: the task's next call of its job raises."""
        commands.cancel(self._record.id, self._here)
        if self._run is not None:
            self._run.stop_signal.set(JobCancelled(f"job {self._record.id} was cancelled"))

    def _call(self, run: Run) -> Any:
        self._run = run
        try:
            returned = call_here(observed(run, self._observer))
            result = returned.result if is_a(returned, Completion) else returned
            self._result = json.loads(payloads.encode_result(result))
        except BaseException as error:
            self._error = error
            self._observer.raised(error)
            raise
        return returned


def observed(run: Run, observer: Observer) -> RunHandle:
    """A run for `call_here`, whose reports the observer hears, too."""
    return cast("RunHandle", _Observed(run, observer))


class _Observed:
    """A run whose reports are passed on."""

    def __init__(self, run: Run, observer: Observer) -> None:
        self._run: Final = run
        self._observer: Final = observer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)

    def report_progress(self, progress: str, message: str | None) -> None:
        self._run.report_progress(progress, message)
        self._observer.progress(*json.loads(progress))
        if message is not None:
            self._observer.line("info", message, None)

    def report_line(self, level: Level, message: str, data: Any) -> None:
        self._run.report_line(level, message, data)
        self._observer.line(level, message, data)

    def keep(self, checkpoint: str) -> None:
        self._run.keep(checkpoint)
        self._observer.checkpoint(json.loads(checkpoint))

    def add_output(self, output: OutputFile) -> None:
        self._run.add_output(output)
        self._observer.output(output)


def _ready(record: JobRecord, task: Task) -> JobRecord:
    """A job as it was before its last run, alone in a system, and not to be repeated."""
    attempt = max(1, record.attempt) - 1
    return JobRecord(
        id=record.id,
        state=State.READY,
        task=task.name,
        queue=record.queue,
        priority=record.priority,
        created_ms=record.created_ms,
        updated_ms=record.updated_ms,
        resource=record.resource,
        tenant=record.tenant,
        origin_id=record.origin_id,
        previous_json=record.previous_json,
        depth=record.depth,
        batch=record.batch,
        depends_json=record.depends_json,
        attempt=attempt,
        failures=min(record.failures, attempt),
        retry_json=record.retry_json,
        # whoever replays a job wants it to run, whenever it was to begin
        start_by_ms=LIFTED_MS,
        crash_limit=record.crash_limit,
        data_json=record.data_json,
        data_ref=record.data_ref,
        input_json=record.input_json,
        checkpoint_json=record.checkpoint_json,
        checkpoint_ref=record.checkpoint_ref,
    )


def _message_of(record: JobRecord, here: Installation) -> Received:
    return Received(
        address=Address(record.queue, Channel(record.lane.value)),
        body=Pending.of(record).body(),
        receipt=_WORKER,
        sent_ms=here.clock.now_ms(),
        receives=1,
    )
