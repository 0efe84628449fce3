"""One claim of one job, while the job runs here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Protocol

from remotejob.domain.conditions import Value
from remotejob.domain.errors import LeaseLost, WorkerStopping
from remotejob.domain.job_log import Level
from remotejob.domain.record import JobRecord, OutputFile, output_prefix
from remotejob.names import Field
from remotejob.ports import Installation, Received
from remotejob.tasks.task import Task
from remotejob.tracing import Trace
from remotejob.worker.runs.counted_ports import counted
from remotejob.worker.runs.held_message import HeldMessage
from remotejob.worker.runs.log_context import JobContext
from remotejob.worker.runs.report import Reporter
from remotejob.worker.runs.stop_signal import StopSignal
from remotejob.worker.runs.usage import RunUsage
from remotejob.worker.runs.workspace import Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """How long the run has the job, on this machine's monotonic clock."""

    began: float
    """Before the request that took or extended it."""
    ends: float
    """Before any other worker may take it."""


def new_lease(began: float, length: timedelta) -> Lease:
    return Lease(began=began, ends=began + length.total_seconds())


class KeepsCheckpoints(Protocol):
    """The checkpoints of one run."""

    def keep(self, text: str) -> None:
        """Make one durable. Raises: RunInterrupted; what S3 or DynamoDB raised."""
        ...

    def at_completion(self) -> tuple[Mapping[str, Value], tuple[Field, ...]]:
        """What the completed record says of checkpoints, and which fields it loses."""
        ...


class Run:
    """A claimed job: its record and lease, and whether the run has ended. Safe across threads.

    Everything else about a run is a part with a lock of its own: `held`, `stop_signal`, `reporter`,
    `workspace`, `checkpoints` and `usage`.
    """

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
        """`checkpoints` makes the part that keeps them. `trace` is where the job was submitted,
        as its message says."""
        assert record.run_id is not None
        self.job_id: Final = record.id
        self.run_id: Final = record.run_id
        self.context: Final = JobContext.of(record)
        self.trace: Final = trace
        self.task: Final = task
        self.began: Final = lease.began
        self.prefix: Final = output_prefix(
            queue=record.queue, job_id=record.id, run_id=record.run_id
        )
        self.usage: Final = RunUsage(record, message)
        self.installation: Final = counted(installation, self.usage)
        self.extending: Final = threading.RLock()
        """Held while the lease is extended: of two overtaking heartbeats the older would win."""
        self._lock = threading.Lock()
        self._record = record
        self._lease = lease
        self._ended_at: float | None = None
        self._waits = False
        self.held: Final = HeldMessage(message, since=lease.began)
        self.stop_signal: Final = StopSignal(installation.clock, began=lease.began)
        self.reporter: Final = Reporter(record, self.installation)
        self.workspace: Final = Workspace(record.id)
        self.checkpoints: Final = checkpoints(self)

    @property
    def record(self) -> JobRecord:
        """As the claim or the last heartbeat left it."""
        with self._lock:
            return self._record

    @property
    def lease(self) -> Lease:
        with self._lock:
            return self._lease

    @property
    def lease_length(self) -> timedelta:
        """How long each heartbeat extends the lease."""
        return self.task.lease or self.installation.lease

    @property
    def log_fields(self) -> Mapping[str, Any]:
        return self.context.fields

    def extended(
        self, record: JobRecord, began: float, length: timedelta, *, reported: int
    ) -> None:
        """A heartbeat succeeded, with the report of that version."""
        with self._lock:
            self._record, self._lease = record, new_lease(began, length)
        self.reporter.written(reported)

    def adopt(self, message: Received) -> bool:
        """Take a message that came for this run. False when the record must decide about it."""
        now = self.installation.clock.monotonic()
        if self.stop_signal.reason is not None or now >= self.lease.ends:
            return False
        return self.held.adopt(message, now=now)

    def check(self) -> None:
        """A call by the task, and so a sign of life.

        Raises: RunInterrupted, when the run must stop; LeaseLost, once the lease has ended.
        """
        stop = self.stop_signal.stir()
        if stop is None and self.installation.clock.monotonic() >= self.lease.ends:
            self.stop_signal.set(
                LeaseLost(f"the lease of job {self.job_id} ended before it could be extended")
            )
            stop = self.stop_signal.reason
        if stop is not None:
            raise stop

    def take_ending(self) -> bool:
        """Whether the caller is the one who ends this run; true once."""
        with self._lock:
            if self._ended_at is not None:
                return False
            self._ended_at = self.installation.clock.monotonic()
        self.held.close()
        return True

    def wait_to_begin(self) -> None:
        """The task's function is not called yet: it waits for its turn, or for a process.

        Until `begin`, the run never began: it can be given back even if its job must not run twice.
        """
        with self._lock:
            self._waits = True

    def begin(self) -> None:
        """The task's function is called next.

        Raises: RunInterrupted, if the run has ended, or must stop.
        """
        with self._lock:
            reason = self.stop_signal.reason
            # whoever ended it, or lost its lease, may have decided already that it never began
            if self._waits and (reason is not None or self._ended_at is not None):
                raise reason or WorkerStopping("the run has ended")
            self._waits = False

    @property
    def begun(self) -> bool:
        """Whether the task's function may have been called."""
        with self._lock:
            return not self._waits

    @property
    def ended(self) -> bool:
        with self._lock:
            return self._ended_at is not None

    def ended_for(self, seconds: float) -> bool:
        """Whether the run ended that long ago, and its thread has not returned since."""
        with self._lock:
            ended = self._ended_at
        return ended is not None and self.installation.clock.monotonic() - ended > seconds

    @property
    def ran_s(self) -> float:
        """How long the run has gone on, or went on until it ended."""
        with self._lock:
            ended = self._ended_at
        return (self.installation.clock.monotonic() if ended is None else ended) - self.began

    # What `tasks.running_job.RunHandle` asks of a run, for the parts to do.

    def folder(self) -> Path:
        return self.workspace.folder()

    def antecedents(self) -> list[JobRecord]:
        return self.installation.store.get_many(self.record.depends)

    def add_output(self, output: OutputFile) -> None:
        self.workspace.add_output(output)

    def keep(self, checkpoint: str) -> None:
        self.checkpoints.keep(checkpoint)

    def report_progress(self, progress: str, message: str | None) -> None:
        self.reporter.progress(progress)
        if message is not None:
            self.report_line("info", message, None)

    def report_line(self, level: Level, message: str, data: Any) -> None:
        self.reporter.line(level, message, data)
