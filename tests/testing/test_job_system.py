"""The system of the testing kit: what a file becomes, what is due, and how time passes."""

from __future__ import annotations

import itertools
import os
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from remotejob import (
    JobFailed,
    Priority,
    RemoteJob,
    RemoteJobError,
    Repeat,
    RunningJob,
    SettingsError,
    State,
    SystemNotFound,
    WaitTimeout,
    task,
)
from remotejob.domain.errors import InvalidData, InvalidName
from remotejob.settings import parse
from remotejob.testing import JobSystem, NoRoute, NotDrained
from remotejob.testing.system_time import MovableClock
from tests.testing.conftest import SETTINGS
from tests.testing.tasks import register


@pytest.fixture
def system(remotejob_system: JobSystem) -> JobSystem:
    register()
    return remotejob_system


@pytest.mark.parametrize("give", ["bytes", "path", "text", "stream"])
def test_a_file_gets_its_route(system: JobSystem, tmp_path: Path, give: str) -> None:
    file = tmp_path / "any"
    file.write_bytes(b"hello")
    body: Any = {"bytes": b"hello", "path": file, "text": str(file), "stream": BytesIO(b"hello")}[
        give
    ]

    job = system.upload("in/ann/a.txt", body)
    assert [ran.id for ran in system.drain()] == [job.id]

    assert job.refresh().result == "in/ann/a.txt"
    assert (job.task, job.queue, job.tenant, job.data) == (
        "copy",
        "default",
        "ann",
        {"to": "copy.txt"},
    )
    assert job.priority == Priority.HIGH
    assert job.outputs["copy.txt"].read_bytes() == b"hello"


@pytest.mark.parametrize("key", ["in/a.png", "elsewhere/a.txt", "in/a.txt/", "jobs/in/a.txt"])
def test_a_key_without_a_route_says_which_there_are(system: JobSystem, key: str) -> None:
    with pytest.raises(NoRoute, match=r"'in/' with \.txt"):
        system.upload(key, b"hello")
    assert system.client.jobs() == []


def test_an_upload_is_checked(system: JobSystem) -> None:
    with pytest.raises(InvalidName):
        system.upload("", b"hello")
    with pytest.raises(RemoteJobError, match="no such file"):
        system.upload("in/a.txt", "/not/there")


def test_two_uploads_of_a_key_are_two_jobs_with_their_own_versions(system: JobSystem) -> None:
    first, second = system.upload("in/a.txt", b"1"), system.upload("in/a.txt", b"2")
    system.drain()
    assert [job.refresh().outputs["copy.txt"].read_text() for job in (first, second)] == ["1", "2"]


def test_a_job_that_fails_does_not_end_the_drain(system: JobSystem) -> None:
    failing = system.client.queue().submit("fail")
    other = system.client.queue().submit("count")

    assert [job.id for job in system.drain()] == [failing.id, other.id]
    system.raise_failures()
    assert failing.refresh().state is State.WAITING

    system.clock.advance(minutes=5)
    system.drain()
    with pytest.raises(ValueError, match="no luck") as raised:
        system.raise_failures()
    assert raised.traceback[-1].name == "fail"
    assert "in attempt 2" in raised.value.__notes__[-1]
    with pytest.raises(JobFailed):
        _ = failing.refresh().result


def test_what_no_task_may_catch_ends_the_test(system: JobSystem) -> None:
    @task("fetch")
    def fetch(job: RunningJob) -> None:
        raise KeyboardInterrupt

    with JobSystem('[queues.default]\ntasks = ["fetch"]') as own:
        own.client.queue().submit("fetch")
        with pytest.raises(KeyboardInterrupt):
            own.drain()


def test_a_drain_without_an_end_says_what_is_left(system: JobSystem) -> None:
    @task("again")
    def again(job: RunningJob) -> None:
        RemoteJob.connect().queue().submit("again")

    settings = '[system]\nmax_depth = 10000\n[queues.default]\ntasks = ["again"]'
    with JobSystem(settings) as own:
        own.client.queue().submit("again")
        with pytest.raises(NotDrained, match=r"7 runs, .*job \w+ \(again, ready\): "):
            own.drain(at_most=7)
        assert len(own.client.jobs()) == 8
        assert "no worker" not in own.client.jobs()[0].why().text
        assert [worker.alive for worker in own.client.workers()] == [True]
        with pytest.raises(NotDrained):
            own.run_for(hours=1, at_most=3)
        assert len(own.client.jobs()) == 11


def test_time_with_too_many_runs_says_how_many_there_were() -> None:
    with JobSystem('[queues.default]\ntasks = ["often"]') as system:

        @task("often")
        def _(_: RunningJob) -> None:
            pass

        queue = system.client.queue()
        queue.submit("often", repeat=Repeat(wait=timedelta(minutes=1)))
        with pytest.raises(NotDrained, match=r"^7 runs, and there is more to do"):
            system.run_for(hours=1, at_most=7)


def test_waiting_lets_the_system_work(system: JobSystem) -> None:
    job = system.client.queue().submit("fail")
    with pytest.raises(WaitTimeout):
        job.wait(timeout=60)
    assert job.wait().state is State.FAILED
    assert 300 <= system.clock.monotonic() < 360


@pytest.fixture
def patience(system: JobSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends a test that would wait for ever."""
    left = itertools.count(10_000, -1)
    sleep = MovableClock.sleep

    def counted(clock: MovableClock, span: timedelta) -> None:
        assert next(left), "it waits for ever"
        sleep(clock, span)

    monkeypatch.setattr(MovableClock, "sleep", counted)


@pytest.mark.usefixtures("patience")
def test_waiting_for_nothing_ends(system: JobSystem) -> None:
    job = system.client.queue().submit("count").pause()
    with pytest.raises(NotDrained, match="it is paused"):
        job.wait()


@pytest.mark.usefixtures("patience")
def test_a_task_that_waits_for_another_job_fails_and_nothing_hangs(system: JobSystem) -> None:
    @task("wait")
    def wait(job: RunningJob) -> None:
        RemoteJob.connect("waits").queue().submit("wait").wait()

    with JobSystem('[system]\nname = "waits"\n[queues.default]\ntasks = ["wait"]') as own:
        job = own.client.queue().submit("wait")
        with pytest.raises(NotDrained):
            own.drain(at_most=2)
        assert "nothing has run" in str(job.refresh().errors[-1].message)


def test_a_task_cannot_drain(system: JobSystem) -> None:
    @task("drain")
    def drain(job: RunningJob) -> None:
        own.drain()

    with JobSystem('[queues.default]\ntasks = ["drain"]') as own:
        own.client.queue().submit("drain")
        own.drain()
        with pytest.raises(RemoteJobError, match="let the test do it"):
            own.raise_failures()


def test_a_schedule_fires_at_its_times_while_the_system_works(system: JobSystem) -> None:
    system.client.queue().submit("count", repeat=Repeat(schedule="0 * * * *"))
    jobs = system.run_for(hours=5, minutes=30)
    started = [job.started_at.hour for job in jobs if job.started_at is not None]
    assert started == [13, 14, 15, 16, 17]
    assert {job.started_at.second for job in jobs if job.started_at} == {0}


def test_of_the_times_in_a_jump_one_counts(system: JobSystem) -> None:
    system.client.queue().submit("count", repeat=Repeat(schedule="0 * * * *"))
    system.clock.advance(hours=5)
    assert len(system.drain()) == 1


def test_a_delayed_job_begins_when_it_is_due(system: JobSystem) -> None:
    job = system.client.queue().submit("count", delay=timedelta(hours=2))
    assert system.drain() == []
    system.run_for(days=1)
    started = job.refresh().started_at
    assert started is not None
    waited = started - job.created_at
    assert timedelta(hours=2) <= waited < timedelta(hours=2, seconds=2)


def test_jobs_of_two_queues_wait_for_each_other(system: JobSystem) -> None:
    first = system.client.queue().submit("count")
    then = system.client.queue("other").submit("after", depends=[first])
    system.drain()
    assert then.refresh().result == "after"


@pytest.mark.exhaustive
def test_a_spent_budget_pauses_the_queue_until_the_next_day(system: JobSystem) -> None:
    for _ in range(52):
        system.client.queue().submit("count")
    assert len(system.drain()) == 50
    system.run_for(days=1)
    assert {job.state for job in system.client.jobs()} == {State.COMPLETED}


def test_a_stopped_queue_runs_nothing_until_it_is_started(system: JobSystem) -> None:
    system.client.stop_all()
    job = system.client.queue().submit("count")
    other = system.client.queue("other").submit("after", depends=[job])
    assert system.drain() == []
    system.run_for(hours=1)
    assert job.refresh().state is State.READY

    system.client.start_all()
    assert [ran.id for ran in system.drain()] == [job.id, other.id]


def test_a_job_taken_by_hand_keeps_its_lease_while_time_passes(system: JobSystem) -> None:
    system.client.queue().submit("count")
    [taken] = system.client.queue().get_work()
    system.clock.advance(minutes=10)
    assert system.drain() == []
    taken.done("by hand")
    assert system.client.jobs()[0].result == "by hand"


def test_the_clock_moves_by_what_it_is_told(system: JobSystem) -> None:
    assert system.clock.now() == datetime(2026, 1, 15, 12, tzinfo=UTC)
    system.clock.advance(timedelta(minutes=1), days=1, hours=2, seconds=3)
    assert system.clock.now() == datetime(2026, 1, 16, 14, 1, 3, tzinfo=UTC)


@pytest.mark.parametrize("days", [float("inf"), float("nan"), 10**10, "two"])
def test_the_clock_moves_by_a_span_of_time(system: JobSystem, days: Any) -> None:
    with pytest.raises(InvalidData, match=r"^days=.*; give numbers"):
        system.clock.advance(days=days)
    with pytest.raises(InvalidData):
        system.run_for(days=days)


def test_the_clock_does_not_run_backwards(system: JobSystem) -> None:
    with pytest.raises(InvalidData):
        system.clock.advance(minutes=-1)
    with pytest.raises(InvalidData):
        system.run_for(hours=-1)


def test_a_task_has_the_variables_of_its_queue(
    system: JobSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    @task("look")
    def look(job: RunningJob) -> list[str | None]:
        return [os.environ.get(name) for name in ("KIT_LANGUAGE", "KIT_OTHER")]

    monkeypatch.setenv("KIT_OTHER", "the test's")
    settings = """[queues.default]
    tasks = ["look"]
    environment = { KIT_LANGUAGE = "deu", KIT_OTHER = "the queue's" }
    """
    with JobSystem(settings) as own:
        job = own.client.queue().submit("look")
        own.drain()
        assert job.refresh().result == ["deu", "the test's"]
    assert "KIT_LANGUAGE" not in os.environ


def test_connect_finds_the_systems_by_name(
    system: JobSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REMOTEJOB_NAME", raising=False)
    with JobSystem('[system]\nname = "inner"\n[queues.default]\ntasks = ["copy"]') as inner:
        assert RemoteJob.connect() is inner.client
        assert RemoteJob.connect("kit") is system.client
        with pytest.raises(SystemNotFound, match="inner, kit"):
            RemoteJob.connect("elsewhere")
    assert RemoteJob.connect() is system.client
    monkeypatch.setenv("REMOTEJOB_NAME", "elsewhere")
    with pytest.raises(SystemNotFound, match=r"'elsewhere' .*; unset REMOTEJOB_NAME"):
        RemoteJob.connect()


def test_the_settings_are_the_systems(system: JobSystem) -> None:
    assert system.settings.system.name == system.client.name == "kit"
    assert system.client.queues == ("default", "other")
    assert JobSystem(system.settings).settings is system.settings
    assert parse({"queues": {"a": {"tasks": ["copy"]}}}).queues.keys() == {"a"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("remotejob.toml", "give a path as pathlib.Path"),
        ("[queues.default]\ntasks = [", "not TOML"),
        (Path("/not/there.toml"), "no such file"),
        (3, "give a Path"),
        ('[queues.default]\ntasks = ["x"]\ncolour = 1', "colour"),
    ],
)
def test_settings_that_are_none_are_refused(settings: object, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        JobSystem(settings)  # type: ignore[arg-type]


def test_a_task_that_is_not_registered_is_said_when_it_is_due() -> None:
    with JobSystem(SETTINGS.replace("fail", "missing")) as own:
        own.drain()
        own.client.queue().submit("missing")
        with pytest.raises(SettingsError, match=r"tasks_module = '.*'"):
            own.drain()
