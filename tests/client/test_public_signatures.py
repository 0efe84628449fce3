"""Whatever is passed to a public call, it succeeds or raises our own error, and writes nothing.

The calls are found by looking at what the package exports: a new method is covered by itself. If it
needs an argument that `GOOD` does not have, or is of a class that `SUBJECTS` does not have, a test
says so.
"""

from __future__ import annotations

import asyncio
import enum
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import remotejob
from remotejob import (
    Antecedent,
    AsyncAntecedent,
    AsyncOutput,
    AsyncRunningJob,
    AsyncStream,
    Batch,
    Completion,
    InvalidInput,
    Job,
    JobDraft,
    JobFailed,
    Notice,
    Output,
    Outputs,
    Process,
    Processor,
    Queue,
    RemoteJob,
    RemoteJobError,
    Repeat,
    Retry,
    RunningJob,
    StoredFile,
    Submission,
    TakenJob,
    Urgency,
)
from remotejob.client.hooks import Hooks
from remotejob.manual.holder import JobHolder
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.tasks.async_calls import AsyncCalls
from remotejob.testing import FakeClock, Simulation
from remotejob.testing.interception import intercepted
from tests.client.odd_values import ODD, Broken
from tests.sampling import some
from tests.systems import BACKENDS, installation_on

T = TypeVar("T")

LONGEST_MESSAGE: Final = 1000

READS: Final = frozenset(
    {
        *("store.get", "store.get_many", "store.item", "store.items", "store.attention"),
        *("store.listing", "store.notes", "messages.receive", "messages.depth", "files.describe"),
        *("files.open", "files.download", "files.keys"),
    }
)

RESULTS: Final = {
    *(remotejob.BatchCounts, remotejob.Commanded, remotejob.Failure, remotejob.InputFile),
    remotejob.PreviousRun,
    *(remotejob.LogLine, remotejob.Reason, remotejob.Receipt, remotejob.Replayed),
    *(remotejob.StoppedQueue, remotejob.WorkerStatus, remotejob.Async, remotejob.Threads),
    *(remotejob.DeadLetters, remotejob.Letter, remotejob.Redriven),
}
"""Classes whose objects callers get, or make without arguments: nothing can be passed to them."""

VALUES: Final = (Retry, Repeat, Process)
"""Classes that callers make, whose arguments are checked when they are made."""

SPARED: Final = {
    *((Hooks, "tell"), (Hooks, "tell_child_restarted"), (Hooks, "tell_command"), (Hooks, "wants")),
    (Registry, "require"),
    (Registry, "__getitem__"),
}
"""Calls that the library makes itself, or that are those of any mapping."""


class Recorder:
    """Notes the calls of the ports that write."""

    def __init__(self) -> None:
        self.writes: list[str] = []

    def request(self, name: str, arguments: tuple[object, ...], function: Callable[[], T]) -> T:
        if name not in READS:
            self.writes.append(name)
        return function()


class Subjects(enum.Enum):
    FRESH = enum.auto()
    KEPT = enum.auto()
    """One for all values of a call: to make them takes most of the time on AWS."""


class Scene:
    """A system, and an object of each class to call."""

    def __init__(self, installation: Installation, *, subjects: Subjects) -> None:
        self.subjects = subjects
        self._made: dict[str, Any] = {}
        self._processors: list[Processor] = []
        self.recorder = Recorder()
        self.installation = intercepted(installation, self.recorder)
        holder = JobHolder(self.installation, start=lambda beat: None)
        self.remote = RemoteJob(self.installation, holder=holder)
        self.queue = self.remote.queue()

    def made(self, name: str, make: Callable[[Scene], Any]) -> Any:
        """What `make` makes: each time anew, or once."""
        if self.subjects is Subjects.FRESH:
            return make(self)
        if name not in self._made:
            self._made[name] = make(self)
        return self._made[name]

    def work(self) -> None:
        worker = Simulation(installation=self.installation)

        @worker.tasks.task("work")
        def work(job: RunningJob) -> None:
            job.output("cat.png", b"image")

        worker.step()

    def antecedent(self) -> Antecedent:
        job = self.completed()
        return Antecedent(job.record, job._installation, queue=job.queue)

    def completed(self) -> Job:
        job = self.queue.submit("work", body=b"photo", filename="cat.jpg")
        self.work()
        return job.refresh()

    def taken(self) -> TakenJob:
        self.queue.submit("work", body=b"photo")
        (job,) = self.queue.get_work()
        return job

    def batch(self) -> Batch:
        batch = self.queue.map("work", [1])
        self.work()
        return batch.refresh()

    def notice(self) -> Notice:
        self.completed()
        found = self.queue.next("completed", wait=timedelta(0))
        assert found is not None
        return found

    def processor(self) -> Processor:
        made = self.queue.process_jobs("work", lambda job: None)
        self._processors.append(made)
        return made

    def close(self) -> None:
        """End what works in the background, which would go on in the next test."""
        for one in self._processors:
            one.shutdown(Urgency.HARD)


SUBJECTS: Final[dict[type, Callable[[Scene], Any]]] = {
    RemoteJob: lambda scene: scene.remote,
    Queue: lambda scene: scene.queue,
    Job: Scene.completed,
    Batch: Scene.batch,
    JobDraft: lambda scene: scene.queue.new_job("work"),
    Outputs: lambda scene: scene.completed().outputs,
    Output: lambda scene: scene.completed().outputs["cat.png"],
    TakenJob: Scene.taken,
    RunningJob: lambda scene: RunningJob(scene.taken().run),
    AsyncRunningJob: lambda scene: AsyncRunningJob(RunningJob(scene.taken().run)),
    AsyncStream: lambda scene: AsyncStream(BytesIO(b"photo"), AsyncCalls()),
    Antecedent: Scene.antecedent,
    AsyncAntecedent: lambda scene: AsyncAntecedent(scene.antecedent(), AsyncCalls()),
    AsyncOutput: lambda scene: AsyncOutput(scene.completed().outputs["cat.png"], AsyncCalls()),
    Notice: Scene.notice,
    StoredFile: lambda scene: scene.queue.retrieve("input", scene.queue.store({"body": b"photo"})),
    Processor: Scene.processor,
    Hooks: lambda scene: Hooks(),
    Registry: lambda scene: Registry(),
}

GOOD: Final[dict[str, Callable[[Scene], Any]]] = {
    "task": lambda scene: "work",
    "name": lambda scene: "work",
    "job_id": lambda scene: scene.queue.submit("work").id,
    "batch_id": lambda scene: scene.queue.map("work", [1]).id,
    "jobs": lambda scene: [scene.queue.submit("work")],
    "submissions": lambda scene: [Submission("work")],
    "source": lambda scene: [1, 2],
    "tasks": lambda scene: "work",
    "function": lambda scene: lambda job: None,
    "status": lambda scene: "pending",
    "wait": lambda scene: timedelta(0),
    "data": lambda scene: {"a": "1"},
    "key": lambda scene: scene.queue.store({"key": "known", "body": b"photo"}),
    "metadata": lambda scene: {"a": "1"},
    "body": lambda scene: b"photo",
    "queue_name": lambda scene: "pending",
    "direction": lambda scene: "input",
    "path": lambda scene: "here",
    "priority": lambda scene: 0,
    "retry": lambda scene: Retry(),
    "repeat": lambda scene: Repeat(times=1),
    "delay": lambda scene: timedelta(0),
    "moment": lambda scene: datetime(2026, 6, 1, tzinfo=UTC),
    "resource": lambda scene: "printer",
    "tenant": lambda scene: "acme",
    "done": lambda scene: 0.5,
    "message": lambda scene: "half",
    "state": lambda scene: {"page": 1},
    "error": lambda scene: "no paper",
    "event": lambda scene: "completed",
    "steps": lambda scene: [lambda job, data: None],
}
"""Arguments for parameters without a default, by name."""


@dataclass(frozen=True)
class Call:
    owner: type | None
    name: str
    parameter: str

    def __str__(self) -> str:
        return f"{self.owner.__name__ if self.owner else 'remotejob'}.{self.name}-{self.parameter}"

    def make(self, scene: Scene, value: Any) -> None:
        target = self.target(scene)
        signature = inspect.signature(target)
        options: dict[str, Any] = {}
        listed: tuple[Any, ...] = ()
        for parameter in signature.parameters.values():
            if parameter.name == self.parameter:
                if parameter.kind is parameter.VAR_POSITIONAL:
                    listed = (value,)
                else:
                    options[parameter.name] = value
            elif parameter.default is parameter.empty and parameter.kind not in (
                parameter.VAR_POSITIONAL,
                parameter.VAR_KEYWORD,
            ):
                assert parameter.name in GOOD, f"add a good {parameter.name} for {self} to GOOD"
                options[parameter.name] = scene.made(parameter.name, GOOD[parameter.name])
            elif self.name in ("next", "wait") and parameter.name == "wait":
                options["wait"] = timedelta(0)
        scene.recorder.writes.clear()
        settle(target(*listed, **options))

    def target(self, scene: Scene) -> Callable[..., Any]:
        if self.owner is None:
            found: Callable[..., Any] = getattr(remotejob, self.name)
            return Registry().task if self.name == "task" else found
        method: Callable[..., Any] = getattr(
            scene.made(self.owner.__name__, SUBJECTS[self.owner]), self.name
        )
        return method

    def admits(self, error: Exception) -> bool:
        """Whether the call's own documentation names this error of Python's."""
        owner = RunningJob if self.owner in (AsyncRunningJob, TakenJob) else self.owner
        documented = f"{getattr(owner or remotejob, self.name).__doc__}"
        return any(base.__name__ in documented for base in type(error).__mro__[:-2])


def settle(returned: Any) -> None:
    """Go through with what a call has only begun."""
    if inspect.iscoroutine(returned):
        settle(asyncio.run(returned))
    elif isinstance(returned, Processor):
        returned.shutdown(Urgency.HARD)
    elif isinstance(returned, JobDraft):
        returned.save()
    elif isinstance(returned, Iterator):
        list(returned)
    elif hasattr(returned, "close"):
        returned.close()


def exported() -> list[tuple[str, Any]]:
    return [(name, getattr(remotejob, name)) for name in remotejob.__all__]


def classes() -> list[type]:
    found = [one for _, one in exported() if inspect.isclass(one)]
    return [
        *(one for one in found if not issubclass(one, BaseException | enum.Enum)),
        *(Hooks, Registry),
    ]


def calls() -> Iterator[Call]:
    for name, one in exported():
        if inspect.isroutine(one):
            yield from (Call(None, name, each) for each in inspect.signature(one).parameters)
    for owner in classes():
        if owner in RESULTS or owner in VALUES or owner in (Submission, Completion):
            continue
        for name, method in inspect.getmembers(owner, inspect.isroutine):
            own = name == "__getitem__" or not name.startswith("_")
            if own and (owner, name) not in SPARED and "remotejob" in method.__module__:
                for parameter in inspect.signature(method).parameters:
                    if parameter not in ("self", "session"):
                        yield Call(owner, name, parameter)


CALLS: Final = list(calls())

FOR_EVER: Final = ("wait", "timeout")
"""Parameters that may ask for a wait without end, which no test can sit through."""


def too_long(call: Call, value: Any) -> bool:
    if call.parameter not in FOR_EVER or call.name not in ("wait", "next", "get_work"):
        return False
    return value is None or (isinstance(value, timedelta) and value > timedelta(days=1))


def check(call: Call, scene: Scene, value: Any) -> None:
    if too_long(call, value):
        return
    error = error_of(call, scene, value)
    if error is None or (not isinstance(error, RemoteJobError) and call.admits(error)):
        return
    if not isinstance(error, RemoteJobError):
        pytest.fail(f"{call} let {type(error).__name__} out: {error!a}")
    assert len(str(error)) < LONGEST_MESSAGE
    assert "\n" not in str(error)
    if isinstance(error, InvalidInput):
        assert scene.recorder.writes == []


def error_of(call: Call, scene: Scene, value: Any) -> Exception | None:
    try:
        call.make(scene, value)
    except Exception as error:  # noqa: BLE001 (whatever it is, it is looked at)
        return error
    return None


@pytest.fixture(
    params=[
        name if name == "memory" else pytest.param(name, marks=pytest.mark.exhaustive)
        for name in BACKENDS
    ]
)
def scene(
    request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path, monkeypatch: Any
) -> Iterator[Scene]:
    monkeypatch.chdir(tmp_path)
    with installation_on(request.param, clock) as made:
        fresh = request.param == "memory"
        scene = Scene(made, subjects=Subjects.FRESH if fresh else Subjects.KEPT)
        yield scene
        scene.close()


def test_every_public_class_has_a_subject() -> None:
    left = set(classes()) - set(SUBJECTS) - RESULTS - {*VALUES, Submission, Completion}
    assert left == set(), f"add {left} to SUBJECTS, so that their calls are tested"


@pytest.mark.parametrize("call", some(CALLS, every=3), ids=str)
def test_odd_values_are_refused_before_any_write(call: Call, scene: Scene) -> None:
    for value in ODD:
        check(call, scene, value)


@pytest.mark.parametrize("name", [field.name for field in fields(Submission)])
def test_odd_values_in_a_submission_are_refused_before_any_write(name: str, scene: Scene) -> None:
    call = Call(Queue, "submit_many", "submissions")
    for value in ODD:
        options = {"task": "work", name: value}
        check(call, scene, [Submission(**options)])
        check(Call(Queue, "map", "on_complete"), scene, Submission(**options))


@pytest.mark.parametrize("kind", VALUES)
def test_odd_values_in_a_policy_are_refused(kind: type[Any]) -> None:
    for field in fields(kind):
        for value in ODD:
            made = made_or_refused(kind, field.name, value)
            if isinstance(made, InvalidInput):
                assert len(str(made)) < LONGEST_MESSAGE
            elif isinstance(made, Retry | Repeat):
                assert type(made).from_json(made.to_json()) == made


def made_or_refused(kind: type[Any], name: str, value: Any) -> Any:
    try:
        return kind(**{name: value})
    except InvalidInput as refusal:
        return refusal


ANY: Final = st.one_of(
    st.text(st.characters(exclude_characters="/")),
    st.integers(),
    st.floats(),
    st.binary(),
    st.datetimes(timezones=st.none() | st.just(UTC)).filter(
        # a listing from the first year on would read for minutes
        lambda at: at.year < 2020 or at.year >= 2026
    ),
    st.timedeltas(),
    st.recursive(
        st.none() | st.booleans() | st.text() | st.floats(),
        lambda part: st.lists(part) | st.dictionaries(st.text(), part),
        max_leaves=10,
    ),
)


@pytest.mark.parametrize("call", some(CALLS, every=2), ids=str)
def test_any_value_is_taken_or_refused(call: Call, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)

    @settings(
        max_examples=25,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(value=ANY)
    def holds(value: Any) -> None:
        with installation_on("memory", FakeClock()) as made:
            scene = Scene(made, subjects=Subjects.FRESH)
            check(call, scene, value)
            scene.close()

    holds()


def test_data_nested_as_deep_as_is_allowed_is_read_by_every_reader(scene: Scene) -> None:
    from tests.client.odd_values import nested

    worker = Simulation(installation=scene.installation)
    worker.tasks.task("work")(lambda job: job.data)
    job = scene.queue.submit("work", data=nested(100))
    worker.step()
    assert job.refresh().result == nested(100)
    with pytest.raises(InvalidInput, match="more than 100 levels"):
        scene.queue.submit("work", data=nested(101))


def test_a_result_nested_too_deep_fails_the_job_with_the_limit(scene: Scene) -> None:
    from tests.client.odd_values import nested

    worker = Simulation(installation=scene.installation)
    worker.tasks.task("work")(lambda job: nested(930))
    job = scene.queue.submit("work")
    worker.step()
    with pytest.raises(JobFailed, match="more than 100 levels"):
        _ = job.refresh().result


def test_a_value_that_raises_is_the_cause(scene: Scene) -> None:
    def broken() -> Iterator[Submission]:
        yield Submission("work")
        raise Broken("no more")

    with pytest.raises(InvalidInput, match="no more") as refusal:
        scene.queue.submit_many(broken())
    assert isinstance(refusal.value.__cause__, Broken)
