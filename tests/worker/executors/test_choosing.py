"""Where a task runs, as it says at its registration; and what that costs those that say nothing."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from remotejob import (
    Async,
    AsyncRunningJob,
    InvalidData,
    InvalidName,
    Process,
    RemoteJob,
    RunningJob,
    SettingsError,
    State,
    Threads,
    compose,
)
from remotejob.tasks import Registry, registry
from remotejob.testing import Simulation, memory_installation
from remotejob.worker.executors.executors import Executors
from remotejob.worker.executors.processes.program import ChildProgram


def plain(job: RunningJob) -> Any:
    return job.data["said"]


def generating(job: RunningJob) -> Any:
    yield job.data["said"]


async def awaited(job: AsyncRunningJob) -> Any:
    return (await job.data())["said"]


class Called:
    async def __call__(self, job: AsyncRunningJob) -> Any:
        return (await job.data())["said"]


def test_a_function_runs_in_threads_and_an_async_one_on_the_loop(tasks: Registry) -> None:
    tasks.task("plain")(plain)
    tasks.task("awaited")(awaited)
    tasks.task("callable")(Called())
    said = {name: task.runs_in for name, task in tasks.items()}
    assert said == {"plain": Threads(), "awaited": Async(), "callable": Async()}


@pytest.mark.parametrize(
    ("function", "runs_in", "why"),
    [
        (awaited, Threads(), r"'x' is an async def.*runs_in=Async\(\), or write def"),
        (plain, Async(), r"'x' would block the event loop.*write async def"),
        (generating, None, r"'x' has a yield.*return"),
        (plain, Process, r"runs_in=<class .*made with brackets"),
        (plain, "process", r"runs_in='process': use Threads\(\), Process\(\) or Async\(\)"),
    ],
)
def test_what_cannot_run_there_is_refused_with_the_remedy(
    tasks: Registry, function: Any, runs_in: Any, why: str
) -> None:
    with pytest.raises(InvalidData, match=why):
        tasks.task("x", runs_in=runs_in)(function)
    assert "x" not in tasks


@pytest.mark.parametrize(
    "options",
    [
        {"memory_mib": 63},
        {"memory_mib": True},
        {"memory_mib": 100.0},
        {"max_jobs_per_child": 0},
        {"grace": timedelta(seconds=-1)},
        {"grace": timedelta(hours=1)},
        {"grace": 10},
        {"credentials": False},
        {"credentials": "nobody"},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(InvalidData, match=name):
        Process(**options)


def test_no_time_without_a_sign_of_life_is_refused(tasks: Registry) -> None:
    with pytest.raises(InvalidData, match=r"work_timeout=.* leaves it no time"):
        tasks.task("x", work_timeout=timedelta(0))
    with pytest.raises(InvalidData, match="work_timeout=30: use a timedelta"):
        tasks.task("x", work_timeout=30)  # type: ignore[arg-type]


def test_a_composition_of_async_tasks_is_refused(tasks: Registry) -> None:
    tasks.task("awaited")(awaited)
    with pytest.raises(InvalidName, match="step 1 is task 'awaited', an async def"):
        compose(["awaited"], registry=tasks)


def test_a_task_that_no_process_could_import_is_refused(
    tasks: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "__module__", "__main__")
    tasks.task("plain", runs_in=Process())(plain)
    with pytest.raises(SettingsError, match="put it into a module"):
        Executors(tasks.values())


def test_a_process_that_cannot_import_its_tasks_fails_the_attempt_and_says_why(
    tasks: Registry,
) -> None:
    tasks.task("work", runs_in=Process())(plain)
    executors = Executors(tasks.values(), program=ChildProgram(modules=("no_such_module",)))
    worker = Simulation(installation=memory_installation(), tasks=tasks, call=executors.run)
    job = RemoteJob(worker.installation).queue().submit("work")
    worker.step()
    executors.close(within=timedelta(seconds=10))
    (failed,) = job.refresh().errors
    assert failed.kind == "ModuleNotFoundError"
    assert failed.message == (
        "No module named 'no_such_module' "
        "(before the run, when its process began and imported no_such_module)"
    )


def test_a_task_that_its_process_does_not_know_fails_the_attempt(tasks: Registry) -> None:
    # registered by a test, and so by no import
    tasks.task("work", runs_in=Process())(plain)
    executors = Executors(tasks.values())
    worker = Simulation(installation=memory_installation(), tasks=tasks, call=executors.run)
    job = RemoteJob(worker.installation).queue().submit("work", data={"said": "x"})
    worker.step()
    executors.close(within=timedelta(seconds=10))
    (failed,) = job.refresh().errors
    assert (failed.kind, failed.message[:27]) == ("SettingsError", "task 'work' is not register")


def test_a_process_finds_modules_where_the_worker_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "found_by_path.py").write_text(
        "from remotejob import Process, task\n"
        "@task('work', runs_in=Process())\n"
        "def work(job): return __file__\n"
    )
    monkeypatch.setattr(registry, "_tasks", {})
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("found_by_path")
    executors = Executors(registry.values())
    worker = Simulation(installation=memory_installation(), tasks=registry, call=executors.run)
    job = RemoteJob(worker.installation).queue().submit("work")
    worker.step()
    executors.close(within=timedelta(seconds=10))
    assert job.refresh().result == str(tmp_path / "found_by_path.py")


def test_without_a_worker_a_task_runs_here_wherever_it_is_to_run(tasks: Registry) -> None:
    for name, function, runs_in in (
        ("in-process", plain, Process()),
        ("awaited", awaited, None),
        ("threads", plain, Threads()),
    ):
        tasks.task(name, runs_in=runs_in)(function)
    worker = Simulation(
        installation=memory_installation(queues={"default": tuple(tasks)}), tasks=tasks
    )
    queue = RemoteJob(worker.installation).queue()
    jobs = [queue.submit(name, data={"said": name}) for name in tasks]
    worker.step()
    assert [job.refresh().result for job in jobs] == list(tasks)
    assert [job.replay_here(tasks=tasks).result for job in jobs] == list(tasks)
    assert jobs[1].replay_here(tasks=awaited).result == "awaited"


def test_an_async_task_is_replayed_from_within_a_loop(tasks: Registry) -> None:
    import asyncio

    tasks.task("work")(awaited)
    worker = Simulation(installation=memory_installation(), tasks=tasks)
    job = RemoteJob(worker.installation).queue().submit("work", data={"said": "x"})
    worker.step()
    assert job.refresh().state is State.COMPLETED

    async def notebook() -> Any:
        return job.replay_here(tasks=tasks).result

    assert asyncio.run(notebook()) == "x"


def test_threads_import_neither_processes_nor_loops() -> None:
    script = textwrap.dedent(
        """
        import sys
        from remotejob import Async, Process, RemoteJob, Threads, task
        from remotejob.tasks import registry
        from remotejob.testing import Simulation, memory_installation
        from remotejob.worker.executors.executors import Executors
        from remotejob.worker.worker import Worker, WorkerOptions

        @task("work", runs_in=Threads())
        def work(job): return 1

        installation = memory_installation()
        executors = Executors(registry.values())
        executors.start(registry)
        Worker(installation, registry, WorkerOptions(queue="default", name="w"))
        job = RemoteJob(installation).queue().submit("work")
        Simulation(installation=installation, tasks=registry, call=executors.run).step()
        assert job.refresh().result == 1
        own = {name for name in sys.modules if name.startswith("remotejob.worker.executors.")}
        print(*sorted(name.removeprefix("remotejob.worker.executors.") for name in own))
        print(*sorted({"asyncio", "multiprocessing", "ctypes"} & set(sys.modules)))
        """
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    ).stdout
    assert said.splitlines() == ["executors in_thread processes processes.program stack_note", ""]
