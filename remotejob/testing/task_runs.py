"""Runs one task as a worker would, for unit tests: no system, no queue, no retries."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from remotejob.backends.clock import SystemClock
from remotejob.client.job import Job
from remotejob.client.one_run import Observer, OneRun
from remotejob.client.replay_here import OnError
from remotejob.domain.argument_checks import check_choice, check_text, check_whole
from remotejob.domain.errors import InvalidBody, InvalidData, InvalidName, JobCancelled
from remotejob.domain.ids import new_job_id
from remotejob.domain.job_log import LogLine
from remotejob.domain.name_rules import check_file_name, name_from_disk
from remotejob.domain.record import UNNAMED, InputFile, JobRecord
from remotejob.domain.states import State
from remotejob.domain.text import name_of, shown, trace_of
from remotejob.jobs.content import payloads
from remotejob.jobs.content.bodies import check_body, open_body
from remotejob.jobs.content.content_types import check_content_type, guess_content_type
from remotejob.jobs.content.input_files import input_file, input_key
from remotejob.jobs.content.outputs import Outputs
from remotejob.ports import Area, Installation
from remotejob.tasks.registry import registry
from remotejob.tasks.reported import encoded_state
from remotejob.tasks.runs_in import where
from remotejob.tasks.task import Task
from remotejob.testing.fakes import memory_installation
from remotejob.testing.observed_run import from_task

_QUEUE: Final = "default"


class Ending(StrEnum):
    """What a worker would make of a run."""

    COMPLETED = "completed"
    RETRIED = "retried"
    """It failed, and the job would run again."""
    FAILED = "failed"
    """It failed for good: no attempt is left, or the task raised `Fatal`."""
    CANCELLED = "cancelled"


_ENDINGS: Final = {
    State.COMPLETED: Ending.COMPLETED,
    State.WAITING: Ending.RETRIED,
    State.READY: Ending.RETRIED,
    State.FAILED: Ending.FAILED,
    State.CANCELLED: Ending.CANCELLED,
}
"""By the state in which a worker would leave the job."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRun:
    """What a task did in `run_task`."""

    result: Any
    """What it returned, after a round trip through JSON; None if it raised."""
    outputs: Outputs
    """Its files by name, with `read_bytes()`, `read_text()`, `download(path)`, `size` and
    `content_type`."""
    logs: tuple[LogLine, ...]
    """What it logged with `job.log`."""
    progress: tuple[tuple[float, float], ...]
    """Done and total, each time that it reported them."""
    checkpoints: tuple[Any, ...]
    """The states it stored with `job.checkpoint`, the oldest first."""
    ending: Ending
    retry_in: timedelta | None
    """How long a worker would wait before the next run; None unless `ending` is `retried`."""
    error: BaseException | None
    """What it raised."""
    traceback: str | None

    @property
    def messages(self) -> list[str]:
        """The text of each line that it logged."""
        return [line.message for line in self.logs]


def run_task(
    task: Callable[..., Any] | str,
    file: Path | str | bytes | None = None,
    data: Any = None,
    *,
    text: str | None = None,
    filename: str | None = None,
    content_type: str | None = None,
    checkpoint: Any = None,
    attempt: int = 1,
    cancel_at_progress: int | None = None,
    on_error: OnError | str = OnError.RAISE,
) -> TaskRun:
    """Run a task in this thread, with a job, a file and a temporary folder of its own.

    `task` is the function, or the name that `@task` gave it. `file` is the input: a path, as text
    or `Path`, or bytes; `text` is an input of text. `filename` is the name that the task sees, by
    default the path's. `checkpoint` is the state that an earlier run left. `attempt` is the number
    of this run: a task with three attempts fails for good in its third. `cancel_at_progress=2`
    cancels the job once the task has reported progress twice; its next call raises `JobCancelled`.

    Raises: what the task raised, with a note of what a worker would do; with `on_error="keep"`, it
    is in `TaskRun.error`. InvalidName, when no task has that name; InvalidBody, when there is no
    such file; InvalidData, when the result or `data` is not JSON.
    """
    __tracebackhide__ = True
    on_error = check_choice("on_error=", on_error, OnError)
    found = _find(task)
    check_whole("attempt", attempt, least=1, most=1000)
    if cancel_at_progress is not None:
        check_whole("cancel_at_progress", cancel_at_progress, least=1, most=1_000_000)
    here = _installation(found)
    record = _record(found, data, checkpoint, attempt, here)
    body = _body(file, text)
    if body is not None:
        stored = _stored(body, file, filename, content_type, record, here)
        record = replace(record, input_json=stored.to_json())
    elif filename is not None or content_type is not None:
        raise InvalidData("filename and content_type describe an input: give file or text, too")
    watch = _Watch(cancel_at_progress)
    run = OneRun(Job(record, here), found, observer=watch)
    watch.cancel = run.cancel
    ran = run.run()
    after = ran.job.record
    ending = _ENDINGS[after.state]
    error = ran.error
    if error is None and ending is Ending.CANCELLED:
        # the task went on and returned; that does not count
        error = JobCancelled(f"job {record.id} was cancelled")
    retry_in = _wait_of(after) if ending is Ending.RETRIED else None
    if error is not None and on_error is OnError.RAISE:
        note = _note(found, ending, retry_in, attempt)
        with suppress(Exception):
            # an error may refuse notes; it is raised all the same
            error.add_note(note)
        raise from_task(error)
    return TaskRun(
        result=None if error is not None else ran.result,
        outputs=Outputs(tuple(ran.outputs.values()), job_id=record.id, state=after.state),
        logs=ran.logs,
        progress=tuple(watch.reported),
        checkpoints=tuple(watch.states),
        ending=ending,
        retry_in=retry_in,
        error=error,
        traceback=None if error is None else trace_of(error),
    )


class _Watch(Observer):
    """Notes what a task reports, and cancels its job when the test wants it."""

    def __init__(self, cancel_at_progress: int | None) -> None:
        self._cancel_at = cancel_at_progress
        self.cancel: Callable[[], None] = lambda: None
        self.reported: list[tuple[float, float]] = []
        self.states: list[Any] = []

    def progress(self, done: float, total: float) -> None:
        self.reported.append((done, total))
        if len(self.reported) == self._cancel_at:
            self.cancel()

    def checkpoint(self, state: Any) -> None:
        self.states.append(state)


def _find(task: Callable[..., Any] | str) -> Task:
    if isinstance(task, str):
        if task not in registry:
            known = ", ".join(sorted(registry)) or "none"
            raise InvalidName(
                f"task {shown(task)} is not registered (registered: {known}); import the module "
                "whose @task registers it, or give its function"
            )
        return registry[task]
    if not callable(task):
        raise InvalidData(f"task={shown(task)}: give a task's function, or its name")
    for registered in registry.values():
        if registered.function is task:
            return registered
    name = name_of(task).rpartition(".")[2].strip("_<>")[:64] or "task"
    return Task(name=name, function=task, runs_in=where(name, task, None))


def _installation(task: Task) -> Installation:
    made = memory_installation(queues={_QUEUE: (task.name,)})
    # real time: a task may look at how much of its timeout is left
    return replace(made, clock=SystemClock())


def _record(task: Task, data: Any, checkpoint: Any, attempt: int, here: Installation) -> JobRecord:
    now = here.clock.now_ms()
    return JobRecord(
        id=new_job_id(now, here.entropy),
        state=State.READY,
        task=task.name,
        queue=_QUEUE,
        created_ms=now,
        updated_ms=now,
        attempt=attempt,
        failures=attempt - 1,
        data_json=None if data is None else payloads.encode_data(data),
        checkpoint_json=None if checkpoint is None else encoded_state(checkpoint),
    )


def _body(file: Path | str | bytes | None, text: str | None) -> Path | str | bytes | None:
    if text is None:
        if isinstance(file, str) and not Path(file).exists():
            raise InvalidBody(
                f"file={shown(file)}: no such file; a str is a path, so give content as text=..., "
                "or as bytes"
            )
        return file
    if file is not None:
        raise InvalidBody("file and text are both the input: give one of them")
    return check_text("text", text, remedy="give the input's text").encode()


def _stored(
    body: Path | str | bytes,
    file: Path | str | bytes | None,
    filename: str | None,
    content_type: str | None,
    record: JobRecord,
    here: Installation,
) -> InputFile:
    if filename is not None:
        name = check_file_name(filename)
    elif isinstance(file, str | Path):
        name = name_from_disk(Path(file).name) or UNNAMED
    else:
        name = UNNAMED
    kind = check_content_type(content_type) or guess_content_type(name)
    key = input_key(_QUEUE, record.id, name)
    with open_body(check_body(body, what="file")) as content:
        stored = here.files.put(Area.INPUT, key, content, content_type=kind)
    return input_file(stored, name=name)


def _wait_of(record: JobRecord) -> timedelta:
    """From the failure of its last run to the next one; none if it was given back."""
    if record.due_ms is None or not record.errors:
        return timedelta(0)
    return timedelta(milliseconds=record.due_ms - record.errors[-1].at_ms)


def _note(task: Task, ending: Ending, retry_in: timedelta | None, attempt: int) -> str:
    match ending:
        case Ending.RETRIED:
            then = f"attempt {attempt} failed, and a worker would run it again in {retry_in}"
        case Ending.CANCELLED:
            then = "the job was cancelled, and a worker would do nothing more"
        case _:
            then = f"attempt {attempt} failed, and a worker would not run it again"
    return f"task {task.name!r}: {then}"
