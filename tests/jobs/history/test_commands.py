"""What commands do to a job stands in its log: what, who and when, and it costs no request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from remotejob import InvalidName, Job, Queue, RemoteJob
from remotejob.client.actor import this_actor
from remotejob.domain.changes import EXISTS, Change, Condition
from remotejob.domain.command_changes import pause
from remotejob.domain.history import LINES_KEPT, Action, appended, check_actor, entered
from remotejob.ports import Installation
from remotejob.testing import FakeClock, Simulation
from tests.jobs.history.lines import lines

MINUTE = timedelta(minutes=1)


@pytest.fixture
def queue(installation: Installation) -> Queue:
    """As somebody connected to it."""
    return RemoteJob(replace(installation, actor="ana@laptop")).queue()


@pytest.mark.parametrize(
    ("commands", "said"),
    [
        ([Job.pause], ["paused"]),
        ([Job.pause, Job.resume], ["paused", "resumed"]),
        ([Job.cancel], ["cancelled"]),
    ],
)
def test_log_says_what_was_done_to_a_job_by_whom_and_when(
    commands: list[Callable[[Job], Job]], said: list[str], queue: Queue, clock: FakeClock
) -> None:
    job = queue.submit("work")
    times = []
    for command in commands:
        clock.advance(MINUTE)
        times.append(clock.now_ms())
        command(job)

    assert lines(job) == [("ana@laptop", one) for one in said]
    assert [line.at_ms for line in job.logs()] == times


def test_waiting_job_that_is_made_ready_says_so(queue: Queue) -> None:
    other = queue.submit("work")
    job = queue.submit("work", depends=[other])
    job.make_ready()
    job.make_ready(independent=True)

    assert {said for _, said in lines(job)} == {
        "made ready",
        "made ready: it waits for no other job",
    }


def test_what_was_done_stands_among_what_the_job_logged(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    @worker.tasks.task("work")
    def work(job: object) -> None:
        clock.advance(timedelta(seconds=1))
        job.log("hello")  # type: ignore[attr-defined]

    job = queue.submit("work").pause()
    clock.advance(MINUTE)
    job.resume()
    while worker.step():
        pass

    assert [(line.message, line.actor) for line in job.refresh().logs()] == [
        ("paused", "ana@laptop"),
        ("resumed", "ana@laptop"),
        ("hello", None),
    ]


def test_ordinary_job_has_no_line_and_no_byte(queue: Queue, worker: Simulation) -> None:
    worker.tasks.task("work")(lambda job: job.data)
    job = queue.submit("work")
    while worker.step():
        pass

    assert job.refresh().record.history is None
    assert job.logs() == []


def test_job_that_is_paused_a_thousand_times_keeps_the_last_lines(
    queue: Queue, clock: FakeClock
) -> None:
    job = queue.submit("work")
    for _ in range(50):
        clock.advance(MINUTE)
        job.pause()
        clock.advance(MINUTE)
        job.resume()

    assert len(lines(job)) == LINES_KEPT
    assert job.logs()[-1].at_ms == clock.now_ms()
    assert [said for _, said in lines(job)[-2:]] == ["paused", "resumed"]
    assert sum(map(len, job.record.history or ())) < 1000


def test_lines_that_two_write_at_the_same_moment_both_stay(
    installation: Installation, queue: Queue
) -> None:
    store, job = installation.store, queue.submit("work")
    now, read = installation.clock.now_ms(), job.record
    ours = entered(pause(read, now_ms=now), read, Action.PAUSED, actor="ana@laptop")
    theirs = Change(job_id=job.id, condition=Condition(name="there", expression=EXISTS), values={})

    store.update(appended(theirs, Action.RESUMED, at_ms=now + 1, actor="bo@desk"))
    store.update(ours)

    assert lines(job) == [("ana@laptop", "paused"), ("bo@desk", "resumed")]


@pytest.mark.parametrize("actor", ["", "x" * 65, "a\nb", "a\x1b[2J", "\ud800", None, 7, b"ana"])
def test_name_of_who_gives_commands_is_checked(actor: object) -> None:
    with pytest.raises(InvalidName, match="actor"):
        check_actor(actor)


def test_default_name_is_user_and_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REMOTEJOB_ACTOR", raising=False)
    monkeypatch.setattr("getpass.getuser", lambda: "a\nna" * 20)
    assert check_actor(this_actor()).startswith(r"a\nna")

    monkeypatch.setenv("REMOTEJOB_ACTOR", "release 7")
    assert this_actor() == "release 7"
    monkeypatch.setenv("REMOTEJOB_ACTOR", "a\nb")
    with pytest.raises(InvalidName, match="REMOTEJOB_ACTOR"):
        this_actor()
