"""One claim of one job, while it is being run here."""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Protocol

from remotejob.domain.checkpoints import CHECKPOINT_FIELDS
from remotejob.domain.conditions import Item, Value
from remotejob.domain.errors import LeaseLost, RunInterrupted
from remotejob.domain.record import (
    JobRecord,
    Level,
    OutputFile,
    output_prefix,
)
from remotejob.names import Field
from remotejob.ports import Installation, Received
from remotejob.tasks.task import Task
from remotejob.tracing import Trace
from remotejob.worker.runs.log_context import JobContext
from remotejob.worker.runs.report import Report, Reporter
from remotejob.worker.runs.usage import CountedFiles, Ending, RunUsage

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """How long the run is ours, on this machine's monotonic clock."""

    began: float
    """Before the request that took or extended it."""
    ends: float
    """Before anybody else may take it."""


class Stoppable(Protocol):
    """What a run is where it can be stopped or ended from outside: not a thread's own work."""

    def stopping(self, reason: RunInterrupted) -> None:
        """The run must stop, for that reason; then perhaps for others. It does not wait."""
        ...

    def kill(self, *, grace: timedelta) -> bool:
        """End it, where that is possible, and wait for its end; false when it lives on though it
        was killed. It has been told to stop, and may take so long, or less, to do it by itself."""
        ...


class KeepsCheckpoints(Protocol):
    """The checkpoints of one run."""

    def keep(self, text: str) -> None:
        """Make one durable. Raises: RunInterrupted; what S3 or DynamoDB raised."""
        ...

    def at_completion(self) -> tuple[Mapping[str, Value], tuple[Field, ...]]:
        """What the completed record says of checkpoints, and what it says no more."""
        ...


class Run:
    """A run: the record as claimed, its lease, and what it reports. Safe across threads."""

    def __init__(
        self,
        *,
        record: JobRecord,
        lease: Lease,
        message: Received,
        task: Task,
        installation: Installation,
        checkpoints: Callable[[Run], KeepsCheckpoints],
        trace: Trace | None = None,
    ) -> None:
        """`checkpoints` is called with the run at its first checkpoint. `trace` is where the job
        was submitted, as its message says."""
        assert record.run_id is not None
        self.job_id: Final = record.id
        self.run_id: Final = record.run_id
        self.context: Final = JobContext.of(record)
        self.trace: Final = trace
        self.task: Final = task
        self.usage: Final = RunUsage(record, message)
        # what the task does with files is counted for this run
        self.installation: Final = replace(
            installation, files=CountedFiles(installation.files, self.usage)
        )
        self.began: Final = lease.began
        self.prefix: Final = output_prefix(
            queue=record.queue, job_id=record.id, run_id=record.run_id
        )
        self.one_beat: Final = threading.RLock()
        """Held by whoever extends the lease."""
        self.beaten = lease.began
        """When the heart last beat for it, as the others have their messages hidden."""
        self.beats_failed = 0
        """Of the heart's, in a row."""
        self.beat_again = 0.0
        """Not before, after one that failed."""
        self.replacement_of: Received | None = None
        """A message in whose place another was sent, be it deleted or not."""
        self._lock = threading.Lock()
        self._record = record
        self._lease = lease
        self._message = message
        self._holds_since: float | None = lease.began
        self._make_checkpoints: Final = checkpoints
        self._checkpoints: KeepsCheckpoints | None = None
        self._stop: RunInterrupted | None = None
        self._stoppable: Stoppable | None = None
        self._stirred = lease.began
        self._ended_at: float | None = None
        self._outputs: dict[str, OutputFile] = {}
        self._reporting = Reporter(record, installation, self.usage)
        self._folder: Path | None = None

    @property
    def lease_length(self) -> timedelta:
        """How long each heartbeat extends the lease."""
        return self.task.lease or self.installation.lease

    @property
    def log_fields(self) -> Mapping[str, Any]:
        return self.context.fields

    @property
    def queued_s(self) -> float | None:
        """How long the job waited when it could begin; None where this is not its first run.

        By the clocks of the queue and of this machine.
        """
        record = self.record
        if record.failures or record.crashes or record.releases or record.started_ms is None:
            return None
        could_ms = max(self.message.sent_ms, record.due_ms or 0)
        return max(0, record.started_ms - could_ms) / 1000

    @property
    def ran_s(self) -> float:
        """How long the run has gone on, or went on until it was ended."""
        with self._lock:
            ended = self._ended_at
        return (self.installation.clock.monotonic() if ended is None else ended) - self.began

    @property
    def record(self) -> JobRecord:
        with self._lock:
            return self._record

    @property
    def lease(self) -> Lease:
        with self._lock:
            return self._lease

    def extended(
        self, record: JobRecord, began: float, length: timedelta, *, reported: int
    ) -> None:
        """A heartbeat was taken, with the report of that version."""
        with self._lock:
            self._record, self._lease = record, new_lease(began, length)
        self._reporting.written(reported)

    @property
    def message(self) -> Received:
        """The job's message: kept hidden while the run goes on, settled at its end.

        One that was replaced is settled to no effect.
        """
        with self._lock:
            return self._message

    @property
    def holds_since(self) -> float | None:
        """Since when it has been hidden for this run; None while another is on its way."""
        with self._lock:
            return self._holds_since

    def replaced(self, message: Received) -> None:
        """That message is no more, and another one takes its place once it comes."""
        with self._lock:
            if self._message is message:
                self._holds_since = None

    def adopt(self, message: Received) -> bool:
        """Take a message that came as this run's own: it has none, or it is the same again.

        False, when the run has one, or is over or about to be: the record says what becomes of it.
        """
        now = self.installation.clock.monotonic()
        with self._lock:
            over = self._stop is not None or self._ended_at is not None or now >= self._lease.ends
            held = self._message
            ours = self._holds_since is None or (
                message.sent_ms == held.sent_ms and message.receives > held.receives
            )
            if over or not ours:
                return False
            self._message, self._holds_since = message, now
            return True

    def keep(self, checkpoint: str) -> None:
        """Make a text durable, for whoever takes the job up after this run.

        Raises: RunInterrupted, when the run must stop; what S3 or DynamoDB raised.
        """
        with self._lock:
            if self._checkpoints is None:
                self._checkpoints = self._make_checkpoints(self)
        self._checkpoints.keep(checkpoint)

    def kept_at_completion(self) -> tuple[Mapping[str, Value], tuple[Field, ...]]:
        """What the completed record says of checkpoints, and what it says no more."""
        with self._lock:
            kept, record = self._checkpoints, self._record
        if kept is not None:
            return kept.at_completion()
        inherited = record.checkpoint_json is not None or record.checkpoint_ref is not None
        return {}, CHECKPOINT_FIELDS if inherited else ()

    def stop(self, reason: RunInterrupted) -> None:
        """Make the task's next call of the library raise `reason`. The first reason stays."""
        with self._lock:
            self._stop = self._stop or reason
            stoppable = self._stoppable
        if stoppable is not None:
            stoppable.stopping(reason)

    def kill(self, *, grace: timedelta) -> bool:
        """End what the task does, where it runs as something that can be ended; `grace` is how long
        it may take to stop by itself. False when it lives on: then no other run must begin."""
        with self._lock:
            stoppable = self._stoppable
        return stoppable is None or stoppable.kill(grace=grace)

    @contextmanager
    def runs_as(self, stoppable: Stoppable) -> Iterator[None]:
        """Let what the task runs as be told when the run must stop.

        Raises: RunInterrupted, when it must already.
        """
        with self._lock:
            if self._stop is not None:
                raise self._stop
            self._stoppable = stoppable
        try:
            yield
        finally:
            with self._lock:
                self._stoppable = None

    def stir(self) -> None:
        """The task has given a sign of life."""
        with self._lock:
            if self._stop is None:
                self._stirred = self.installation.clock.monotonic()

    @property
    def stirred(self) -> float:
        """When it last gave one, or else began, on the monotonic clock."""
        with self._lock:
            return self._stirred

    @property
    def stopped(self) -> RunInterrupted | None:
        with self._lock:
            return self._stop

    def check(self) -> None:
        """Raises: RunInterrupted, when the run must stop; LeaseLost, once the lease has ended.

        It is the task's: a sign of life.
        """
        with self._lock:
            now = self.installation.clock.monotonic()
            stop, lost = self._stop, now >= self._lease.ends
            if stop is None:
                self._stirred = now
        if stop is None and lost:
            self.stop(
                LeaseLost(f"the lease of job {self.job_id} ended before it could be extended")
            )
            stop = self.stopped
        if stop is not None:
            raise stop

    def take_ending(self) -> bool:
        """Whether the caller is the one who ends this run; true once."""
        with self._lock:
            first = self._ended_at is None
            if first:
                self._ended_at = self.installation.clock.monotonic()
            return first

    @property
    def ended(self) -> bool:
        with self._lock:
            return self._ended_at is not None

    def ended_for(self, seconds: float) -> bool:
        """Whether the run was ended so long ago, and its thread has not returned since."""
        with self._lock:
            ended = self._ended_at
            return ended is not None and self.installation.clock.monotonic() - ended > seconds

    def report_progress(self, progress: str) -> None:
        self._reporting.progress(progress)

    def report_line(self, level: Level, message: str, data: Any) -> None:
        self._reporting.line(level, message, data)

    def report(self) -> Report:
        """What the record does not surely say yet, to be written with the next heartbeat."""
        return self._reporting.report()

    def last_report(self, ending: Ending) -> Item:
        """All the run has said and used, to be written with its end, be a heartbeat on its way."""
        said = self._reporting.last_report()
        used = self.usage.at_end(ending, now_ms=self.installation.clock.now_ms())
        return said if used is None else {**said, Field.CALLS: used}

    def add_output(self, output: OutputFile) -> None:
        with self._lock:
            self._outputs[output.name] = output

    @property
    def outputs(self) -> tuple[OutputFile, ...]:
        with self._lock:
            return tuple(self._outputs.values())

    def folder(self) -> Path:
        """A folder of the run's own; it goes when the run ends."""
        with self._lock:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix=f"remotejob-{self.job_id}-"))
            return self._folder

    @contextmanager
    def cleaned(self) -> Iterator[None]:
        try:
            yield
        finally:
            with self._lock:
                folder, self._folder = self._folder, None
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)


def new_lease(began: float, length: timedelta) -> Lease:
    return Lease(began=began, ends=began + length.total_seconds())
