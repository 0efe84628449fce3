"""Tasks made of steps."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from remotejob import Fatal, InvalidData, InvalidName, Job, RemoteJob, Retry, RunningJob, State
from remotejob import tasks as tasks_module
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.tasks.compose import StepFailed, StepFailedForGood, compose, hand_on, progress
from remotejob.testing import FakeClock, Simulation
from tests.builtin.conftest import Run, runner
from tests.progress import reported


@pytest.fixture(autouse=True)
def steps(tasks: Registry) -> None:
    """Tasks to be steps."""

    @tasks.task("double")
    def double(job: RunningJob) -> dict[str, int]:
        return {"n": job.data["n"] * 2}

    @tasks.task("fail")
    def fail(job: RunningJob) -> None:
        raise ValueError("no")

    @tasks.task("fatal")
    def fatal(job: RunningJob) -> None:
        raise Fatal("never")

    @tasks.task("write")
    def write(job: RunningJob) -> dict[str, str]:
        name = f"{job.data['n']}.txt"
        (job.folder() / name).write_text("text")
        hand_on(job, [name])
        return {"location": name}


def add_one(job: RunningJob, data: dict[str, Any]) -> dict[str, Any]:
    return {"n": data["n"] + 1, "seen": job.data}


def last_error(job: Job) -> tuple[str, str]:
    return job.errors[-1].kind, job.errors[-1].message


def test_each_step_sees_what_those_before_it_returned(
    each_installation: Installation, tasks: Registry
) -> None:
    run = runner(RemoteJob(each_installation).queue(), each_installation, tasks)

    job = run(compose(["double", add_one, "double"], registry=tasks), data={"n": 5, "kept": True})

    assert job.result == {"n": 22, "kept": True, "seen": {"n": 10, "kept": True}}
    assert job.data == {"n": 5, "kept": True}


def test_step_that_returns_nothing_changes_nothing(run: Run) -> None:
    def spoil(job: RunningJob, data: dict[str, Any]) -> None:
        data["n"] = "spoilt"
        job.data["n"] = "spoilt"

    assert run(compose([spoil]), data={"n": [1]}).result == {"n": [1]}


def test_job_without_data_begins_with_none(run: Run) -> None:
    assert run(compose([lambda job, data: {"seen": data}])).result == {"seen": {}}


@pytest.mark.parametrize("data", [[1], "text", 7])
def test_data_without_names_is_refused(run: Run, data: Any) -> None:
    kind, message = last_error(run(compose([add_one]), data=data))

    assert kind == "InvalidData"
    assert type(data).__name__ in message


def test_failing_step_is_named_and_ends_the_composition(run: Run, tasks: Registry) -> None:
    reached: list[str] = []
    composed = compose(
        ["double", "fail", lambda job, data: reached.append("third")], registry=tasks
    )

    job = run(composed, data={"n": 1}, retry=Retry(max_attempts=2))

    assert last_error(job) == ("StepFailed", "step 2 of 3, 'fail': ValueError: no")
    assert job.state is State.WAITING
    assert not reached


def test_fatal_step_fails_the_job_for_good(run: Run, tasks: Registry) -> None:
    job = run(compose(["fatal"], registry=tasks), retry=Retry(max_attempts=2))

    assert job.state is State.FAILED
    assert last_error(job) == ("StepFailedForGood", "step 1 of 1, 'fatal': Fatal: never")
    assert issubclass(StepFailedForGood, StepFailed)


def test_error_in_a_composition_within_one_names_both_steps(run: Run, tasks: Registry) -> None:
    tasks.task("inner")(compose(["double", "fatal"], registry=tasks))

    job = run(compose(["inner"], registry=tasks), data={"n": 1}, retry=Retry(max_attempts=2))

    assert job.state is State.FAILED
    assert last_error(job)[1] == "step 1 of 1, 'inner': step 2 of 2, 'fatal': Fatal: never"


@pytest.mark.parametrize("returned", ["text", 7, [1], {"n": object()}, {1: 2}])
def test_step_that_returns_what_cannot_be_merged_fails(run: Run, returned: Any) -> None:
    kind, message = last_error(run(compose([lambda job, data: returned])))

    assert kind == "StepFailed"
    assert "InvalidData" in message


def test_interruption_passes_unchanged(
    installation: Installation, tasks: Registry, clock: FakeClock
) -> None:
    queue = RemoteJob(installation).queue()
    worker = Simulation(installation=installation, tasks=tasks)
    reached: list[str] = []

    def cancelled_meanwhile(job: RunningJob, data: Mapping[str, Any]) -> None:
        submitted.cancel()
        clock.advance(timedelta(seconds=25))
        worker.beat()

    composed = compose([cancelled_meanwhile, lambda job, data: reached.append("second")])
    caught: list[str] = []

    @tasks.task("work")
    def work(job: RunningJob) -> object:
        try:
            return composed(job)
        except Exception as error:
            caught.append(type(error).__name__)
            raise

    submitted = queue.submit("work")
    worker.step()

    assert caught == ["JobCancelled"]
    assert submitted.refresh().state is State.CANCELLED
    assert not reached


class Watched:
    """What a run says of its progress, and logs."""

    def __init__(self, run: Run, steps: list[Any], registry: Registry) -> None:
        self.said: list[tuple[float, float]] = []

        def work(job: RunningJob) -> object:
            return compose(steps, registry=registry)(_Listening(job, self.said))

        self.job = run(work, data={"n": 1})
        assert self.job.state is State.COMPLETED, self.job.errors


class _Listening(RunningJob):
    def __init__(self, job: RunningJob, said: list[tuple[float, float]]) -> None:
        super().__init__(job._run)
        self._said = said

    def progress(self, done: float, total: float = 1, *, message: str | None = None) -> None:
        self._said.append((done, total))
        super().progress(done, total, message=message)


def halfway(job: RunningJob, data: dict[str, Any]) -> None:
    job.progress(1, 2)


def test_task_may_be_called_progress(run: Run, tasks: Registry) -> None:
    tasks.task("progress")(lambda job: {"moved": True})

    job = run(compose(["progress", progress(1, 2, message="half: way")], registry=tasks))

    assert job.result == {"moved": True}
    assert [line.message for line in job.logs()] == ["half: way"]
    assert reported(job) == (1, 2)


def test_progress_is_reported_after_each_step(run: Run, tasks: Registry) -> None:
    assert Watched(run, ["double", add_one], tasks).said == [(1, 2), (2, 2)]


def test_progress_of_a_step_is_its_share_of_the_whole(run: Run, tasks: Registry) -> None:
    tasks.task("inner")(compose(["double", halfway], registry=tasks))

    said = Watched(run, ["double", "inner"], tasks).said

    assert said == [(1, 2), (1.5, 2), (1.75, 2), (2, 2), (2, 2)]


def test_progress_steps_alone_report_where_there_are_any(run: Run, tasks: Registry) -> None:
    steps = [progress(1, 10, message="begun"), "double", halfway, progress(9, 10), add_one]

    watched = Watched(run, steps, tasks)

    assert watched.said == [(1, 10), (9, 10)]
    assert [line.message for line in watched.job.logs()] == ["begun"]


@pytest.mark.parametrize(("done", "total"), [(2, 1), (-1, 1), (0, 0), (float("nan"), 1)])
def test_progress_that_makes_no_sense_is_refused_when_composed(done: float, total: float) -> None:
    with pytest.raises(InvalidData, match="0 <= done <= total"):
        progress(done, total)


def test_odd_progress_of_a_step_is_clamped_and_fails_nothing(run: Run) -> None:
    job = run(compose([lambda job, data: job.progress(3, 2), lambda job, data: None]))

    assert (job.state, job.progress) == (State.COMPLETED, (2, 2))
    (warning,) = job.logs()
    assert warning.message == "progress(3, 2): stored as 2 of 2"


def test_progress_of_a_step_that_is_no_number_fails_it(run: Run) -> None:
    job = run(
        compose(
            [
                lambda job, data: job.progress("3", 2)  # type: ignore[arg-type]
            ]
        )
    )

    assert "0 <= done <= total" in last_error(job)[1]


def test_files_of_the_last_step_that_made_some_are_the_outputs(run: Run, tasks: Registry) -> None:
    job = run(compose(["write", "double", "write", add_one], registry=tasks), data={"n": 1})

    assert list(job.outputs) == ["2.txt"]


def test_composition_within_one_leaves_its_files_to_the_outer(run: Run, tasks: Registry) -> None:
    tasks.task("inner")(compose(["write"], registry=tasks))

    job = run(compose(["inner", "double", "write"], registry=tasks), data={"n": 1})

    assert list(job.outputs) == ["2.txt"]


def test_step_may_keep_outputs_itself(run: Run, tasks: Registry) -> None:
    def keep(job: RunningJob, data: dict[str, Any]) -> None:
        job.output("mine.txt", b"mine")

    job = run(compose(["write", keep], registry=tasks), data={"n": 1})

    assert sorted(job.outputs) == ["1.txt", "mine.txt"]


def test_steps_see_the_job_they_are_part_of(run: Run) -> None:
    def look(job: RunningJob, data: dict[str, Any]) -> dict[str, Any]:
        with job.open() as file:
            return {"id": job.id, "name": job.filename, "text": file.read().decode()}

    job = run(compose([look]), body=b"content", filename="in.txt")

    assert job.result == {"id": job.id, "name": "in.txt", "text": "content"}


def test_unknown_task_is_refused_when_composed_with_the_one_meant(tasks: Registry) -> None:
    with pytest.raises(InvalidName, match=r"step 2 is task 'dubble'.*there is 'double'"):
        compose(["fail", "dubble"], registry=tasks)


def test_composition_looks_in_the_process_registry_by_default() -> None:
    assert "double" not in tasks_module.registry
    with pytest.raises(InvalidName, match="'double'"):
        compose(["double"])


@pytest.mark.parametrize(
    "steps", [[], "double", [7], [None], [progress(1)], [add_one] * 101], ids=lambda s: str(s)[:20]
)
def test_what_is_no_list_of_steps_is_refused(tasks: Registry, steps: Any) -> None:
    with pytest.raises(InvalidData, match="compose"):
        compose(steps, registry=tasks)


def test_registering_a_composition_twice_names_its_steps(tasks: Registry) -> None:
    tasks.task("both")(compose(["double", add_one, progress(1)], registry=tasks))

    with pytest.raises(InvalidName, match=r"compose\('double', add_one, progress\)"):
        tasks.task("both")(compose(["double"], registry=tasks))
