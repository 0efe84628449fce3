"""Compositions: tasks made of steps, which one worker runs one after the other.

    task("download_and_archive")(compose(["fetch", rename_for_targz, "targz"]))

Source: forerunner, `worker.compose`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from remotejob.domain.argument_checks import (
    check_items,
    check_kind,
    check_text,
    plain_text,
    reading,
)
from remotejob.domain.errors import Fatal, InvalidData, InvalidName, RemoteJobError, RunInterrupted
from remotejob.domain.text import kind_of, name_of, said_by, shown
from remotejob.jobs.content import payloads
from remotejob.tasks.functions import check_function, is_async
from remotejob.tasks.registry import Registry, registry
from remotejob.tasks.reported import progress_of
from remotejob.tasks.running_job import RunningJob

_MOST_STEPS: Final = 100


class StepFailed(RemoteJobError):
    """A step of a composition failed, and the composition with it."""


class StepFailedForGood(StepFailed, Fatal):
    """A step of a composition raised `Fatal`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """A step that reports the progress of the composition. Make it with `progress`."""

    done: float
    total: float
    message: str | None

    def __post_init__(self) -> None:
        # stricter than RunningJob.progress: no job runs yet that this could cost
        reported = progress_of(self.done, self.total)
        if isinstance(reported, str) or reported.remark is not None:
            raise InvalidData(
                f"progress({shown(self.done)}, {shown(self.total)}): use 0 <= done <= total, and "
                "total > 0"
            )
        if self.message is not None:
            check_text("message", self.message, remedy="give the line to log")


def progress(done: float, total: float = 1, *, message: str | None = None) -> Progress:
    """A step that reports progress, and logs `message` if there is one.

    Raises: InvalidData, unless 0 <= done <= total and total > 0.
    Source: forerunner, the steps `progress:MESSAGE` of a composition.
    """
    return Progress(done=done, total=total, message=message)


StepFunction = Callable[[RunningJob, dict[str, Any]], Mapping[str, Any] | None]
Step = str | StepFunction | Progress
"""The name of a registered task, a function of the job and the data so far, or `progress(...)`."""


class StepJob(RunningJob):
    """The job that one step of a composition is given, with the data of the steps before it."""

    def __init__(self, outer: RunningJob, *, data_json: str, share: _Share) -> None:
        super().__init__(outer._run)
        self._outer: Final = outer
        self._data_json: Final = data_json
        self._share: Final = share
        self.left: tuple[str, ...] | None = None
        """Names of the files that the step handed on in the run's folder; None if it did not."""

    @property
    def data(self) -> Any:
        """The data given at submit and the results of earlier steps; decoded at each call."""
        return json.loads(self._data_json)

    def progress(self, done: float, total: float = 1, *, message: str | None = None) -> None:
        """Report the progress of this step, which is a part of the composition's.

        Raises: as `RunningJob.progress`.
        """
        self.check()
        step = self._reported(done, total)
        if step is not None and self._share.shown:
            whole = self._share.index + step.done / step.total
            self._outer.progress(whole, self._share.total, message=message)
        elif message is not None:
            self.log(message)

    def leave(self, names: Sequence[str]) -> None:
        """Leave files in the run's folder for later steps, instead of storing them as outputs."""
        self.left = tuple(names)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Share:
    """A step's part in the progress of its composition."""

    index: int
    total: int
    shown: bool
    """False if the composition has steps that report its progress."""


def hand_on(job: RunningJob, names: Sequence[str]) -> None:
    """Hand on files in the run's folder, by their names in it.

    A step of a composition leaves them to the next step; a task that runs alone stores them as
    outputs. When a composition ends, it hands on the files of the last step that handed on any.
    """
    if isinstance(job, StepJob):
        job.leave(names)
        return
    folder = job.folder()
    for name in names:
        job.output(name, folder / name)


def compose(
    steps: Sequence[Step], *, registry: Registry = registry
) -> Callable[[RunningJob], dict[str, Any]]:
    """Make a task that runs the steps in series; its result is the job's data plus their results.

    What a step returns is merged into the data of the next; a later value replaces an earlier one
    of the same name. A failing step fails the composition at once. Progress is reported after each
    step, unless a step is a `progress(...)`: then only such steps report it. The retry policy and
    timeout of the composition apply, not those of a step's own task.

    Raises: InvalidName, when a step names a task that is not registered (yet); InvalidData, when a
    step has the wrong type, or there are no steps. The task raises StepFailed, naming the step, or
    StepFailedForGood, when the step raised `Fatal`.
    Source: forerunner, `worker.compose`.
    """
    planned = _Plan(steps=tuple(_checked(steps, registry)), registry=registry)

    def composed(job: RunningJob) -> dict[str, Any]:
        return planned.run(job)

    composed.__qualname__ = f"compose({', '.join(_name(step) for step in planned.steps)})"
    return composed


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plan:
    steps: tuple[Step, ...]
    registry: Registry

    def run(self, job: RunningJob) -> dict[str, Any]:
        data: Any = job.data
        if data is None:
            data = {}
        if not isinstance(data, dict):
            raise InvalidData(
                f"a composition needs named values, but the job's data is {_kind(data)}: "
                "submit it with a dict as data"
            )
        reported = any(isinstance(step, Progress) for step in self.steps)
        working = [step for step in self.steps if not isinstance(step, Progress)]
        left: tuple[str, ...] | None = None
        done = 0
        for number, step in enumerate(self.steps, 1):
            job.check()
            if isinstance(step, Progress):
                _report(job, step)
                continue
            share = _Share(index=done, total=len(working), shown=not reported)
            try:
                text = payloads.encode(data, what="the data")
                step_job = StepJob(job, data_json=text, share=share)
                data |= self._call(step, step_job)
            except RunInterrupted:
                raise
            except Exception as error:
                raise _failure(error, step, place=f"{number} of {len(self.steps)}") from error
            left = left if step_job.left is None else step_job.left
            done += 1
            if not reported:
                job.progress(done, len(working))
        if left is not None:
            hand_on(job, left)
        return data

    def _call(self, step: str | StepFunction, job: StepJob) -> dict[str, Any]:
        """The result of a step, as it would be after JSON has written and read it."""
        if isinstance(step, str):
            returned = self.registry[step].function(job)
        else:
            returned = step(job, job.data)
        if returned is None:
            return {}
        if not isinstance(returned, Mapping):
            raise InvalidData(f"it returned {_kind(returned)}: return a dict or None")
        merged: dict[str, Any] = json.loads(
            payloads.encode(dict(returned), what="what it returned")
        )
        return merged


def _report(job: RunningJob, step: Progress) -> None:
    job.progress(step.done, step.total, message=step.message)


def _failure(error: Exception, step: Step, *, place: str) -> StepFailed:
    reason = str(error) if isinstance(error, StepFailed) else f"{kind_of(error)}: {said_by(error)}"
    kind = StepFailedForGood if isinstance(error, Fatal) else StepFailed
    return kind(f"step {place}, {_name(step)}: {reason}")


def _checked(steps: Sequence[Step], registry: Registry) -> Sequence[Step]:
    remedy = "give a list of steps, at least one"
    steps = check_items("compose: steps", steps, remedy=remedy)
    steps = [step if (name := plain_text(step)) is None else name for step in steps]
    if not steps:
        raise InvalidData(f"compose({shown(steps)}): {remedy}")
    check_kind("registry", registry, Registry, remedy="give a Registry, or leave it out")
    if len(steps) > _MOST_STEPS:
        raise InvalidData(f"compose: {len(steps)} steps; use {_MOST_STEPS} at most, or nest")
    for number, step in enumerate(steps, 1):
        if isinstance(step, str):
            if step not in registry:
                close = difflib.get_close_matches(step, registry, n=1)
                hint = f" (there is {close[0]!r})" if close else ""
                raise InvalidName(
                    f"compose: step {number} is task {shown(step)}, which is not registered{hint}: "
                    "register it before you compose it"
                )
            if is_async(registry[step].function):
                raise InvalidName(
                    f"compose: step {number} is task {shown(step)}, an async def, which a "
                    "composition cannot await: write it with def"
                )
        elif not isinstance(step, Progress):
            _check_step(number, step)
    if all(isinstance(step, Progress) for step in steps):
        raise InvalidData("compose: all steps only report progress; add a step that works")
    return steps


def _check_step(number: int, step: object) -> None:
    if not callable(step):
        raise InvalidData(
            f"compose: step {number} is {_kind(step)}; use the name of a task, a function of "
            "the job and the data, or progress(done, total)"
        )
    what = f"compose: step {number}"
    check_function(what, step, "job", "data")
    with reading(what):
        awaited = is_async(step)
    if awaited:
        raise InvalidData(
            f"{what} is an async def, which a composition cannot await: write it with def"
        )


def _name(step: Step) -> str:
    if isinstance(step, str):
        return repr(step)
    if isinstance(step, Progress):
        return "progress"
    return name_of(step).rpartition(".")[2]


def _kind(value: object) -> str:
    return f"of type {type(value).__name__}"
