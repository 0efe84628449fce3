"""Replay a past job in this process, on the data and the version of the input it had.

This is for debugging: the task reads from the system, but writes only to this process's memory.
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
from remotejob.domain.argument_checks import (
    check_callable,
    check_choice,
    check_kind,
    reading,
)
from remotejob.domain.errors import InvalidName
from remotejob.domain.ids import new_run_id
from remotejob.domain.job_log import LogLine
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.domain.text import cut
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
"""A registry that has the task, or the function itself."""

_REPLAY_WORKER: Final = "replayed here"
_FOR_EVER: Final = timedelta(days=3650)


class OnError(StrEnum):
    """What to do with an error that the task raises."""

    KEEP = "keep"
    """Keep it in `Replayed.error`."""
    RAISE = "raise"
    """Raise it to the caller, and so to a debugger."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Replayed:
    """The outcome of replaying a job in this process."""

    job_id: str
    task: str
    result: Any
    """What the task returned, after a round trip through JSON; None if it failed."""
    error: BaseException | None
    traceback: str | None
    """The full traceback of the error."""
    outputs: Mapping[str, Output]
    """Outputs by name, to open or download. They live in this process's memory."""
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
    """Run a job's task in this thread, whatever the job's state.

    It runs in this thread even if a worker would run the task elsewhere; an `async def` runs to its
    end. There is no lease and no time limit, so you can stay at a breakpoint as long as you like.

    Raises: InvalidName, when there is no such task; InvalidBody, when that version of the input
    has expired; FileUnreadable, when the input is in a bucket that this system does not read.
    """
    on_error = check_choice("on_error=", on_error, OnError)
    task = _find_task(record.task, tasks)
    replay_data(record, installation)
    replay_input(record, installation)
    here = _overlay(installation)
    run = _start_run(record, task, here)
    began = here.clock.monotonic()
    error: BaseException | None = None
    result: str | None = None
    with run.workspace.cleaned():
        try:
            returned = call_here(run)
            if isinstance(returned, Completion):
                returned = returned.result
            result = payloads.encode_result(returned)
        # KeyboardInterrupt and leaving a debugger end the replay itself, so they pass through
        except (Exception, SystemExit) as raised:
            if on_error is OnError.RAISE:
                raise
            error = raised
        took = timedelta(seconds=here.clock.monotonic() - began)
        report = run.reporter.last_report()
    reported = JobRecord.from_item({**run.record.to_item(), **report})
    return Replayed(
        job_id=record.id,
        task=record.task,
        result=None if result is None else json.loads(result),
        error=error,
        traceback=None if error is None else "".join(traceback.format_exception(error)),
        outputs={file.name: Output(file, here) for file in run.workspace.outputs},
        logs=tuple(whole_log(reported, here)),
        progress=reported.progress,
        took=took,
    )


class OverlaidFiles:
    """An `ObjectStore` that reads from another one, and keeps its own writes in memory."""

    def __init__(self, beneath: ObjectStore) -> None:
        self._beneath: Final = beneath
        self._written: Final = _SameBuckets(beneath)
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
        return self._store_of(self.bucket(area), key).describe(area, key)

    def open(self, bucket: str, key: str, *, version: str | None = None) -> BinaryIO:
        return self._store_of(bucket, key).open(bucket, key, version=version)

    def download(self, bucket: str, key: str, to: Path, *, version: str | None = None) -> None:
        self._store_of(bucket, key).download(bucket, key, to, version=version)

    def bucket(self, area: Area) -> str:
        return self._beneath.bucket(area)

    def keys(self, area: Area, prefix: str) -> Iterator[str]:
        written = set(self._written.keys(area, prefix))
        return iter(sorted(written.union(self._beneath.keys(area, prefix))))

    def delete(self, area: Area, keys: Iterable[str]) -> None:
        """Delete files that were written here; the store beneath is not changed."""
        deleted = list(keys)
        self._written.delete(area, deleted)
        self._keys -= {(self.bucket(area), key) for key in deleted}

    def _store_of(self, bucket: str, key: str) -> ObjectStore:
        return self._written if (bucket, key) in self._keys else self._beneath


class _SameBuckets(MemoryFiles):
    """Files in memory, in buckets named like those of another store."""

    def __init__(self, beneath: ObjectStore) -> None:
        super().__init__()
        self._beneath = beneath

    def bucket(self, area: Area) -> str:
        return self._beneath.bucket(area)


def _overlay(installation: Installation) -> Installation:
    """The same system, but with all writes kept in memory, and without hooks."""
    return replace(
        installation,
        store=MemoryStore(),
        messages=MemoryMessages(installation.clock),
        files=OverlaidFiles(installation.files),
        hooks=NOBODY,
        # writing a checkpoint needs a valid lease, perhaps after hours at a breakpoint
        lease=_FOR_EVER,
    )


def _start_run(record: JobRecord, task: Task, here: Installation) -> Run:
    now = here.clock.now_ms()
    running = replace(
        record,
        state=State.RUNNING,
        run_id=new_run_id(here.entropy),
        worker=_REPLAY_WORKER,
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
        receipt=_REPLAY_WORKER,
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


def _find_task(name: str, tasks: Tasks | None) -> Task:
    if tasks is None:
        tasks = registry
    if not isinstance(tasks, Mapping):
        check_callable("tasks", tasks, remedy="give the task's function, or a registry that has it")
        return Task(name=name, function=tasks, runs_in=where(name, tasks, None))
    with reading("tasks"):
        there = dict(tasks)
    if name not in there:
        known = cut(", ".join(sorted(map(str, there))), 300) or "none"
        raise InvalidName(
            f"task {name!r} is not registered here (registered: {known}); import the module whose "
            "@task registers it, or pass its function"
        )
    return check_kind(
        f"tasks[{name!r}]", there[name], Task, remedy="give a registry, or the task's function"
    )
