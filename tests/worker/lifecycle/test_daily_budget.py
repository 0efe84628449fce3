"""A queue that has spent its daily budget is paused, says so, and resumes at midnight."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from remotejob import RemoteJob, RunningJob, State, Submission, Why
from remotejob.backends.clock import SystemClock
from remotejob.domain.budgets import DailyBudget, Spent, day_of, spent_key
from remotejob.domain.transactions import Put
from remotejob.jobs.queries.budgets import paused_queues, read_spent
from remotejob.names import Field
from remotejob.ports import Installation, WorkerSize
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, memory_installation
from remotejob.worker.lifecycle.daily_budget import WITH_RUNS, WITHOUT, BudgetWatch
from tests.systems import installation_in_real_time, installation_on
from tests.worker.lifecycle.working import awaited, working

DAY = timedelta(days=1)


def _at_once(request: Callable[[], None]) -> None:
    request()


def _with(installation: Installation, **limits: Any) -> Installation:
    described = installation.queues["default"]
    budget = DailyBudget(**limits)
    size = WorkerSize(cpu=1024, memory_mib=2048, jobs=4)
    return replace(installation, queues={"default": replace(described, budget=budget, size=size)})


def _watch(installation: Installation, *, concurrency: int = 4) -> BudgetWatch:
    watch = BudgetWatch(installation, installation.queues["default"], concurrency=concurrency)
    watch.share()
    return watch


def _spent(installation: Installation) -> Spent:
    return read_spent("default", day_of(installation.clock.now_ms()), installation)


@pytest.fixture(params=["memory", "aws"])
def budgeted(request: pytest.FixtureRequest, clock: FakeClock) -> Any:
    with installation_on(request.param, clock) as made:
        yield _with(made, runs=10)


def test_a_worker_stops_at_the_last_run_of_the_day(budgeted: Installation) -> None:
    watch = _watch(budgeted)
    for _ in range(9):
        watch.began()
        assert watch.shortage is None
    watch.began()

    assert watch.shortage is not None
    assert "10 runs is spent" in watch.shortage
    assert "daily_jobs under [queues.default]" in watch.shortage


def test_workers_hear_of_each_others_runs(budgeted: Installation, clock: FakeClock) -> None:
    one, two = _watch(budgeted), _watch(budgeted)
    for _ in range(6):
        one.began()
        two.began()
    assert (one.shortage, two.shortage) == (None, None)

    clock.advance(WITH_RUNS)
    one.share_if_due(_at_once)
    two.share_if_due(_at_once)
    assert _spent(budgeted).runs == 12
    assert two.shortage is not None
    clock.advance(WITHOUT)
    one.share_if_due(_at_once)
    assert one.shortage is not None
    assert _watch(budgeted).shortage is not None, "a worker that starts meanwhile"


def test_it_resumes_at_midnight_and_counts_from_nothing(
    budgeted: Installation, clock: FakeClock
) -> None:
    watch = _watch(budgeted)
    for _ in range(10):
        watch.began()
    watch.share()
    assert list(paused_queues(budgeted)) == ["default"]

    clock.advance(DAY)

    assert watch.look() is None
    watch.share_if_due(_at_once)
    assert watch.shortage is None
    assert _spent(budgeted) == Spent()
    assert paused_queues(budgeted) == {}


def test_the_item_of_a_day_expires(budgeted: Installation) -> None:
    watch = _watch(budgeted)
    for _ in range(2):
        watch.began()
        watch.share()
    item = budgeted.store.item(spent_key("default", day_of(budgeted.clock.now_ms())))
    assert item is not None
    assert item[Field.RUNS] == 2
    now_s = budgeted.clock.now_ms() // 1000
    assert item[Field.EXPIRES] == now_s + 8 * 86400


def test_dollars_are_the_workers_time_and_the_jobs_requests(
    clock: FakeClock,
) -> None:
    system = _with(memory_installation(clock), dollars=0.10)
    watch = _watch(system, concurrency=4)
    # one vCPU and 2 GiB cost $0.04937 an hour
    clock.advance(timedelta(hours=2))
    assert watch.look() is None
    watch.share_if_due(_at_once)
    assert _spent(system).microdollars == pytest.approx(98_740, abs=1)

    clock.advance(timedelta(minutes=2))
    assert "$0.10 is spent" in (watch.look() or "")


def test_child_processes_share_the_cost_of_their_container(
    clock: FakeClock,
) -> None:
    system = _with(memory_installation(clock), dollars=1.0)
    children = [_watch(system, concurrency=2) for _ in range(2)]
    clock.advance(timedelta(hours=1))
    for child in children:
        child.share()

    assert _spent(system).microdollars == pytest.approx(49_370, abs=1)


def test_an_outage_stops_no_worker_and_loses_no_count(
    budgeted: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = _watch(budgeted)
    watch.began()
    with monkeypatch.context() as outage:
        outage.setattr(type(budgeted.store), "transact", _fails)
        watch.share()
    assert watch.shortage is None
    watch.share()
    assert _spent(budgeted).runs == 1


def _fails(*_: object) -> None:
    raise ConnectionError("nobody answers")


@pytest.mark.parametrize("odd", ["many", -5, frozenset({"1"})])
def test_an_odd_item_pauses_nothing(budgeted: Installation, odd: Any) -> None:
    key = spent_key("default", day_of(budgeted.clock.now_ms()))
    budgeted.store.transact([Put(key=key, content={Field.RUNS: odd})])

    assert paused_queues(budgeted) == {}
    assert read_spent("default", day_of(budgeted.clock.now_ms()), budgeted) == Spent()


def test_without_a_budget_nothing_is_asked(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for call in ("transact", "item"):
        monkeypatch.setattr(type(installation.store), call, _fails)
    watch = _watch(installation)
    watch.began()
    watch.share_if_due(_at_once)

    assert watch.look() is None
    assert paused_queues(installation) == {}


class Shifted(SystemClock):
    """The machine's clock, but at another date."""

    shift_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.shift_ms


def test_a_queue_over_its_budget_keeps_its_jobs_and_runs_them_the_next_day(
    tasks: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Shifted()
    # far from midnight, whenever the test is run
    noon = datetime.now(UTC).replace(hour=12, minute=0)
    clock.shift_ms = (noon - datetime.now(UTC)) // timedelta(milliseconds=1)
    system = _with(replace(installation_in_real_time(), clock=clock), runs=3)
    ran, slow = [], threading.Event()

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        ran.append(job.id)
        if len(ran) == 3:
            # a running job is not stopped
            slow.wait(60)
            job.check()

    remote = RemoteJob(system)
    jobs = remote.queue().submit_many([Submission("work") for _ in range(8)])
    with working(system, tasks):
        awaited(system, lambda: "taking no jobs" in caplog.text, what="the end of the budget")
        slow.set()
        awaited(
            system,
            lambda: len(remote.queue().jobs(state=State.COMPLETED)) == 3,
            what="the end of the third",
        )
        awaited(system, lambda: paused_queues(system), what="the count of it")
        waiting = [job for job in jobs if job.refresh().state is State.READY]
        assert len(waiting) == 5
        why = waiting[0].why()
        assert why.code is Why.BUDGET
        assert "resumes at 00:00 UTC" in why.text
        awaited(
            system,
            lambda: any(status.shortage for status in remote.workers()),
            what="a sign that says it",
        )

        clock.shift_ms += DAY // timedelta(milliseconds=1)
        awaited(system, lambda: len(ran) == 6, what="the budget of the next day")
        awaited(system, lambda: paused_queues(system), what="the end of that budget")
    assert len(set(ran)) == 6
