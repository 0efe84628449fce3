"""Past jobs run again, on exactly the data and the version of the input they had.

In the system, as a new job; or in this process, for whoever looks for a fault: then what the task
reads is the system's, and what it writes stays here.
"""

from __future__ import annotations

import json
import math
import traceback
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, Final

from remotejob.backends.memory import MemoryFiles, MemoryMessages, MemoryStore
from remotejob.domain.errors import (
    InvalidName,
)
from remotejob.domain.ids import new_run_id
from remotejob.domain.record import JobRecord, LogLine
from remotejob.domain.states import State
from remotejob.domain.times import span_ms
from remotejob.jobs.content import payloads
from remotejob.jobs.content.log import whole_log
from remotejob.jobs.content.outputs import Output
from remotejob.jobs.submission.replay import replay_data, replay_input
from remotejob.ports import (
    NOBODY,
    Address,
    Area,
    Channel,
    Installation,
    ObjectStore,
    Received,
    Stored,
)
from remotejob.tasks.async_running_job import AsyncRunningJob
from remotejob.tasks.completion import Completion
from remotejob.tasks.registry import registry
from remotejob.tasks.running_job import RunningJob
from remotejob.tasks.runs_in import where
from remotejob.tasks.task import Task
from remotejob.worker.executors.in_thread import call_here
from remotejob.worker.runs.checkpoints import Checkpoints
from remotejob.worker.runs.run import Lease, Run

Tasks = (
    Mapping[str, Task]
    | Callable[[RunningJob], Any]
    | Callable[[AsyncRunningJob], Coroutine[Any, Any, Any]]
)
"""Where the task is: a registry, or the function itself."""

_HERE: Final = "replayed here"
_FOR_EVER: Final = timedelta(days=3650)


class OnError(StrEnum):
    """What becomes of an error that the task raises."""

    KEEP = "keep"
    """It is in `Replayed.error`."""
    RAISE = "raise"
    """It goes on to the caller, and to a debugger that waits for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Replayed:
    """What came of running a job again in this process."""

    job_id: str
    task: str
    result: Any
    """What the task returned, as JSON has it; None where it failed."""
    error: BaseException | None
    traceback: str | None
    """Of the error, whole."""
    outputs: Mapping[str, Output]
    """By name; open or download them. They are in this process's memory."""
    logs: tuple[LogLine, ...]
    progress: tuple[float, float]
    """Done and total, as last reported."""
    took: timedelta


def replay_here(
    record: JobRecord,
    installation: Installation,
    *,
    tasks: Tasks | None = None,
    on_error: OnError | str = OnError.KEEP,
) -> Replayed:
    """Run a job's task on it in this thread and process, whatever the job's state is, and wherever
    the task runs in a worker: an `async def` is run to its end.

    There is no lease and no time limit: it may stand at a breakpoint for as long as it takes.

    Raises: InvalidName, when there is no such task; InvalidBody, when that version of the input
    is kept no longer.
    """
    try:
        on_error = OnError(on_error)
    except ValueError:
        raise InvalidName(f"on_error={on_error!r}: use one of {', '.join(OnError)}") from None
    task = _task(record.task, tasks)
    replay_data(record, installation)
    replay_input(record, installation)
    here = _local(installation)
    run = _run(record, task, here)
    began = here.clock.monotonic()
    error: BaseException | None = None
    result: str | None = None
    with run.workspace.cleaned():
        try:
            returned = call_here(run)
            if isinstance(returned, Completion):
                returned = returned.result
            result = payloads.encode(returned, what="the result")
        # Ctrl-C, and what leaves a debugger, end the replay itself
        except (Exception, SystemExit) as raised:
            if on_error is OnError.RAISE:
                raise
            error = raised
        took = timedelta(seconds=here.clock.monotonic() - began)
        said = run.reporter.last_report()
    shown = JobRecord.from_item({**run.record.to_item(), **said})
    return Replayed(
        job_id=record.id,
        task=record.task,
        result=None if result is None else json.loads(result),
        error=error,
        traceback=None if error is None else "".join(traceback.format_exception(error)),
        outputs={file.name: Output(file, here) for file in run.workspace.outputs},
        logs=tuple(whole_log(shown, here)),
        progress=shown.progress,
        took=took,
    )


class OverlaidFiles:
    """An `ObjectStore` whose files are another's, and in which all that is written stays here."""

    def __init__(self, beneath: ObjectStore) -> None:
        self._beneath: Final = beneath
        self._written: Final = _NamedFiles(beneath)
        self._keys: set[tuple[str, str]] = set()

    def put(
        self,
        area: Area,
        key: str,
        body: bytes | BinaryIO,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Stored:
        stored = self._written.put(area, key, body, content_type=content_type, metadata=metadata)
        self._keys.add((stored.bucket, key))
        return stored

    def describe(self, area: Area, key: str) -> Stored:
        return self._where(self.bucket(area), key).describe(area, key)

    def open(self, bucket: str, key: str, *, version: str | None = None) -> BinaryIO:
        return self._where(bucket, key).open(bucket, key, version=version)

    def download(self, bucket: str, key: str, to: Path, *, version: str | None = None) -> None:
        self._where(bucket, key).download(bucket, key, to, version=version)

    def bucket(self, area: Area) -> str:
        return self._beneath.bucket(area)

    def keys(self, area: Area, prefix: str) -> Iterator[str]:
        here = set(self._written.keys(area, prefix))
        return iter(sorted(here.union(self._beneath.keys(area, prefix))))

    def delete(self, area: Area, keys: Iterable[str]) -> None:
        """Take away what was written here; what is beneath stays."""
        gone = list(keys)
        self._written.delete(area, gone)
        self._keys -= {(self.bucket(area), key) for key in gone}

    def _where(self, bucket: str, key: str) -> ObjectStore:
        return self._written if (bucket, key) in self._keys else self._beneath


class _NamedFiles(MemoryFiles):
    """Files in memory, in buckets of the same names."""

    def __init__(self, beneath: ObjectStore) -> None:
        super().__init__()
        self._beneath = beneath

    def bucket(self, area: Area) -> str:
        return self._beneath.bucket(area)


def _local(installation: Installation) -> Installation:
    """The system with all that can be written to in memory, and nobody told of anything."""
    return replace(
        installation,
        store=MemoryStore(),
        messages=MemoryMessages(installation.clock),
        files=OverlaidFiles(installation.files),
        hooks=NOBODY,
        # a checkpoint is written under a lease, and may come after hours at a breakpoint
        lease=_FOR_EVER,
    )


def _run(record: JobRecord, task: Task, here: Installation) -> Run:
    now = here.clock.now_ms()
    running = replace(
        record,
        state=State.RUNNING,
        run_id=new_run_id(here.entropy),
        worker=_HERE,
        attempt=max(1, record.attempt),
        lease_ms=now + span_ms(here.lease),
        started_ms=now,
        finished_ms=None,
        progress_json=None,
        log_json=None,
        log_count=0,
        calls_json=None,
    )
    here.store.put_new(running)
    message = Received(
        address=Address(record.queue, Channel(record.lane.value)),
        body="",
        receipt=_HERE,
        sent_ms=now,
        receives=1,
    )
    lease = Lease(began=here.clock.monotonic(), ends=math.inf)
    task = replace(task, lease=None)
    return Run(
        record=running,
        lease=lease,
        message=message,
        task=task,
        installation=here,
        checkpoints=Checkpoints,
    )


def _task(name: str, tasks: Tasks | None) -> Task:
    if tasks is None:
        tasks = registry
    if not isinstance(tasks, Mapping):
        return Task(name=name, function=tasks, runs_in=where(name, tasks, None))
    if name not in tasks:
        known = ", ".join(sorted(tasks)) or "none"
        raise InvalidName(
            f"task {name!r} is not registered here; there is {known}: import the module whose "
            "@task registers it, or give its function"
        )
    return tasks[name]
