"""What hangs in one request: it costs no other run its lease, and no finished work."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from remotejob import (
    AccessProblem,
    RemoteJob,
    RunningJob,
    State,
    Submission,
    WorkerStopping,
)
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.testing.interception import intercepted
from remotejob.worker.lifecycle.health import Health
from remotejob.worker.lifecycle.watchdog import TICK
from remotejob.worker.messages.heartbeats import Heartbeats
from tests.end_to_end.waiting import until
from tests.worker.lifecycle.working import Gate, Holding, ended, visible, working

T = TypeVar("T")

SHORT_LEASE = timedelta(seconds=1.5)
BEATS_OF_TWO_LEASES = 7
LONG = "x" * 20_000


@pytest.fixture
def short(installation: Installation) -> Installation:
    return replace(installation, lease=SHORT_LEASE)


class Beats:
    """Counts the changes to each record that were answered."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.of: Counter[str] = Counter()

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        answer = self._gate.request(name, arguments, function)
        if name == "store.update":
            self.of[arguments[0].job_id] += 1
        return answer

    def await_two_leases(self, job_id: str) -> None:
        enough = self.of[job_id] + BEATS_OF_TWO_LEASES
        until(lambda: self.of[job_id] >= enough, what="heartbeats")


@pytest.mark.exhaustive
def test_run_out_of_time_whose_end_is_not_answered_costs_no_other_its_lease(
    short: Installation, tasks: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remotejob.worker.messages.heartbeats._UNWINDING", timedelta(0))
    slow, hold, over = Holding(), Holding(), threading.Event()
    queue = RemoteJob(short).queue()

    @tasks.task("slow", timeout=timedelta(seconds=1))
    def ignores(job: RunningJob) -> None:
        slow.begun.release()
        over.wait()

    tasks.task("work")(hold)
    described = replace(short.queues["default"], tasks=("slow", "work"))
    both = replace(short, queues={"default": described})
    queue = RemoteJob(both).queue()
    late: list[str] = []
    gate = Gate(
        lambda name, arguments: (
            name == "store.update"
            and arguments[0].job_id in late
            and "errors" in str(arguments[0].set).lower()
        )
    )
    beats = Beats(gate)
    with working(intercepted(both, beats), tasks, concurrency=2):
        try:
            healthy = queue.submit("work")
            hold.await_begun()
            job = queue.submit("slow")
            late.append(job.id)
            gate.await_reached()
            beats.await_two_leases(healthy.id)
            assert not gate.reached.acquire(blocking=False), "one end, of one run"
            gate.opened.set()
            assert ended(job, both).errors[0].kind == "TimedOut"
            hold.go.set()
            assert ended(healthy, both).result == "done"
        finally:
            gate.opened.set()
            over.set()
            hold.go.set()
    assert healthy.record.crashes == 0


@pytest.mark.exhaustive
def test_runs_go_on_while_the_queue_hangs(
    short: Installation, tasks: Registry, tmp_path: Path
) -> None:
    queue, hold, hangs = RemoteJob(short).queue(), Holding(), threading.Event()
    tasks.task("work")(hold)
    gate = Gate(lambda name, _: hangs.is_set() and name.startswith("messages."))
    beats, file = Beats(gate), tmp_path / "health"
    with working(intercepted(short, beats), tasks, concurrency=2, health_file=file) as worker:
        try:
            jobs = queue.submit_many([Submission(task="work")] * 2)
            for _ in jobs:
                hold.await_begun()
            hangs.set()
            for job in jobs:
                beats.await_two_leases(job.id)
            gate.await_reached()
            said = Health.read(file)
            assert (said.running, said.problem) == (2, None)
            assert not worker.clean.done()
            gate.opened.set()
            hold.go.set()
            for job in jobs:
                assert ended(job, short).result == "done"
        finally:
            gate.opened.set()
            hold.go.set()
    for job in jobs:
        assert (job.record.crashes, job.record.failures, job.attempt) == (0, 0, 1)


@pytest.mark.exhaustive
def test_heartbeats_that_hang_cost_the_runs_their_leases_that_they_are_of_and_no_others(
    short: Installation, tasks: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remotejob.worker.background._SLOW", 0.1)
    queue, hold, stuck = RemoteJob(short).queue(), Holding(), set[str]()
    tasks.task("work")(hold)
    gate = Gate(lambda name, given: name == "store.update" and given[0].job_id in stuck)
    beats = Beats(gate)
    with working(intercepted(short, beats), tasks, concurrency=11):
        try:
            jobs = queue.submit_many([Submission(task="work")] * 11)
            for _ in jobs:
                hold.await_begun()
            # more of them than requests are made at a time
            stuck.update(job.id for job in jobs[:10])
            for _ in stuck:
                gate.await_reached()
            beats.await_two_leases(jobs[10].id)
            hold.go.set()
            assert ended(jobs[10], short).result == "done"
            gate.opened.set()
            for job in jobs:
                assert ended(job, short).result == "done"
        finally:
            gate.opened.set()
            hold.go.set()
    assert jobs[10].record.crashes == 0


@pytest.mark.exhaustive
def test_result_waits_for_s3_while_its_lease_is_kept(short: Installation, tasks: Registry) -> None:
    queue, runs = RemoteJob(short).queue(), list[str]()
    away = Away()
    gate = Gate(lambda *_: False)
    beats = Beats(gate)

    @tasks.task("work")
    def work(job: RunningJob) -> str:
        runs.append(job.run_id)
        return LONG

    with working(intercepted(intercepted(short, away), beats), tasks):
        job = queue.submit("work")
        until(lambda: away.asked, what="that the result is stored")
        beats.await_two_leases(job.id)
        assert job.refresh().state is State.RUNNING
        away.lasts = False
        assert ended(job, short).result == LONG
    assert (len(runs), job.record.failures, job.record.crashes) == (1, 0, 0)


# One step at a time, in simulated time


class Away:
    """S3, while it does not answer."""

    def __init__(self, problem: Callable[[], Exception] | None = None) -> None:
        self.lasts = True
        self.asked = 0
        self.then: Callable[[], object] = lambda: None
        self._problem = problem or (lambda: ConnectionError("no route to host"))

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        if name.startswith("files."):
            self.asked += 1
            self.then()
            if self.lasts:
                raise self._problem()
        return function()


def _back_after(away: Away, tries: int) -> None:
    def then() -> None:
        away.lasts = away.asked <= tries

    away.then = then


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def system(clock: FakeClock) -> Installation:
    return memory_installation(clock)


def test_result_is_stored_once_s3_answers_again(clock: FakeClock, system: Installation) -> None:
    away = Away()
    worker = Simulation(installation=intercepted(system, away))
    worker.tasks.task("work")(lambda job: LONG)
    job = RemoteJob(system).queue().submit("work")
    _back_after(away, 4)
    began = clock.monotonic()
    worker.step()
    assert (job.refresh().state, job.result) == (State.COMPLETED, LONG)
    assert 3 < clock.monotonic() - began < 30, "ever later"


def test_result_that_cannot_be_stored_before_the_worker_stops_is_given_back(
    system: Installation,
) -> None:
    away = Away()
    worker = Simulation(installation=intercepted(system, away))
    worker.tasks.task("work")(lambda job: LONG)
    job = RemoteJob(system).queue().submit("work")

    def then() -> None:
        (run,) = worker.runs.running()
        if away.asked == 3:
            run.stop_signal.set(WorkerStopping("told to"))

    away.then = then
    worker.step()
    assert job.refresh().state is State.READY
    assert (job.record.releases, job.record.failures) == (1, 0)


def test_result_that_is_refused_fails_within_a_lease(
    clock: FakeClock, system: Installation
) -> None:
    away = Away(lambda: AccessProblem("s3:PutObject is not allowed"))
    worker = Simulation(installation=intercepted(system, away))
    worker.tasks.task("work")(lambda job: LONG)
    job = RemoteJob(system).queue().submit("work")
    began = clock.monotonic()
    worker.step()
    assert job.refresh().errors[0].kind == "AccessProblem"
    assert away.asked >= 3, "policies spread"
    assert clock.monotonic() - began <= system.lease.total_seconds()


def test_result_that_is_no_json_fails_at_once(clock: FakeClock, system: Installation) -> None:
    worker = Simulation(installation=system)
    worker.tasks.task("work")(lambda job: object())
    job = RemoteJob(system).queue().submit("work")
    began = clock.monotonic()
    worker.step()
    assert (job.refresh().state, clock.monotonic()) == (State.FAILED, began)


@pytest.mark.parametrize("given", ["bytes", "path"])
def test_output_is_stored_once_s3_answers_again(
    system: Installation, tmp_path: Path, given: str
) -> None:
    away, file = Away(), tmp_path / "a.txt"
    file.write_bytes(b"all of it")
    worker = Simulation(installation=intercepted(system, away))

    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        job.output("a.txt", b"all of it" if given == "bytes" else file)

    job = RemoteJob(system).queue().submit("work")
    _back_after(away, 4)
    worker.step()
    assert job.refresh().state is State.COMPLETED
    with job.outputs["a.txt"].open() as stored:
        assert stored.read() == b"all of it"


def test_input_is_read_once_s3_answers_again(system: Installation) -> None:
    away = Away()
    worker = Simulation(installation=intercepted(system, away))

    @worker.tasks.task("work")
    def work(job: RunningJob) -> str:
        away.asked = 0
        with job.open() as body:
            opened = body.read()
        away.asked = 0
        assert job.download().read_bytes() == opened
        return opened.decode()

    job = RemoteJob(system).queue().submit("work", body=b"in")
    _back_after(away, 3)
    worker.step()
    assert job.refresh().result == "in"


def test_output_that_is_refused_raises_at_once(clock: FakeClock, system: Installation) -> None:
    away = Away(lambda: AccessProblem("s3:PutObject is not allowed"))
    worker = Simulation(installation=intercepted(system, away))
    worker.tasks.task("work")(lambda job: job.output("a.txt", b"a"))
    job = RemoteJob(system).queue().submit("work")
    began = clock.monotonic()
    worker.step()
    assert job.refresh().errors[0].kind == "AccessProblem"
    assert (away.asked, clock.monotonic()) == (1, began)


def test_message_that_is_given_back_is_not_hidden_again(
    clock: FakeClock, system: Installation
) -> None:
    worker = Simulation(installation=system)
    worker.tasks.task("work")(lambda job: None)
    RemoteJob(system).queue().submit("work")
    (message,) = worker.receive()
    worker.runs.await_turn([message])

    class GivesBackBefore:
        def do(self, name: Hashable, function: Callable[[], object]) -> bool:
            assert worker.runs.begin(message)
            system.messages.hide(message.address, [message.receipt], timedelta(0))
            function()
            return True

    heartbeats = Heartbeats(system, worker.handler, worker.runs, background=GivesBackBefore())
    heartbeats.beat()
    clock.advance(heartbeats.interval + TICK)
    heartbeats.beat()
    assert visible(system) == 1
