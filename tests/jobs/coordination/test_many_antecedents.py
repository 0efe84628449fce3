"""Jobs that depend on more others than one transaction takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from remotejob import InvalidData, Job, Queue, RemoteJob, RunningJob, State, Submission
from remotejob.domain.dependencies import ANTECEDENTS_AT_MOST, EDGES_WITH_RECORD
from remotejob.domain.errors import StoreUnavailable
from remotejob.domain.ids import new_job_id
from remotejob.domain.record import JobRecord
from remotejob.jobs.coordination import dependencies, linking
from remotejob.jobs.scheduler.tick import tick
from remotejob.ports import Installation
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.testing.crashes import CRASHES, ERRORS, STALLS, Crash, Fault, Faults
from tests.jobs.coordination.work import Work

MINUTE = timedelta(minutes=1)
MANY = EDGES_WITH_RECORD + 15
IN_MEMORY = pytest.mark.parametrize("installation", ["memory"], indirect=True)


@IN_MEMORY
def test_too_many_antecedents_are_refused_with_the_remedy(
    queue: Queue, installation: Installation
) -> None:
    now = installation.clock.now_ms()
    ids = [new_job_id(now, installation.entropy) for _ in range(ANTECEDENTS_AT_MOST + 1)]
    with pytest.raises(InvalidData, match=r"1,000 at most.*on_complete"):
        queue.submit("work", depends=ids)


@pytest.mark.parametrize(
    ("installation", "number"),
    [
        ("memory", EDGES_WITH_RECORD),
        ("memory", EDGES_WITH_RECORD + 1),
        ("memory", MANY),
        ("aws", MANY),
    ],
    indirect=["installation"],
)
def test_many_antecedents_are_waited_for(number: int, queue: Queue, work: Work) -> None:
    firsts = queue.submit_many([Submission("work", data=n) for n in range(number)])
    last = queue.submit("work", data="last", depends=firsts)
    assert last.depends == tuple(job.id for job in firsts)
    assert last.refresh().record.linking is None

    work.off()

    assert work.began[-1] == "last"
    assert last.refresh().state is State.COMPLETED


def test_a_thousand_antecedents_are_taken() -> None:
    installation = memory_installation(FakeClock())
    queue = RemoteJob(installation).queue()
    worker = Simulation(installation=installation)

    @worker.tasks.task("work")
    def work(_: RunningJob) -> None:
        pass

    firsts = queue.submit_many([Submission("work")] * ANTECEDENTS_AT_MOST)
    last = queue.submit("work", depends=firsts, priority=-1)
    assert len(last.refresh().record.blocked or ()) == ANTECEDENTS_AT_MOST
    while worker.step():
        pass

    assert last.refresh().state is State.COMPLETED


@IN_MEMORY
def test_one_of_many_that_fails_cancels_the_dependent(queue: Queue, work: Work) -> None:
    firsts = queue.submit_many([Submission("work", data=n) for n in range(MANY - 1)])
    firsts.append(queue.submit("work", data="fail"))
    last = queue.submit("work", data="last", depends=firsts)

    work.off()

    assert last.refresh().state is State.CANCELLED
    assert firsts[-1].id in last.errors[-1].message


@IN_MEMORY
def test_restart_waits_for_many_again(queue: Queue, work: Work) -> None:
    firsts = queue.submit_many([Submission("work", data=n) for n in range(MANY)])
    last = queue.submit("work", data="last", depends=firsts)
    last.cancel()

    last.restart()
    assert last.refresh().record.linking is None
    work.off()

    assert work.began[-1] == "last"
    assert last.refresh().state is State.COMPLETED


class System:
    """Few antecedents, of which a transaction takes fewer."""

    def __init__(self, faults: Faults, *, fails: bool) -> None:
        self.clock = FakeClock()
        self.installation = memory_installation(self.clock)
        self.remote = RemoteJob(self.installation)
        self.faulty = RemoteJob(faults.process(self.installation, "submitter"))
        self.began: list[object] = []
        self.fails = fails
        self.worker = Simulation(installation=self.installation)
        self.worker.tasks.task("work")(self._work)
        # two of them end after the scheduler's first look at a job that lacks edges
        self.firsts = [
            self.remote.queue().submit(
                "work", data=number, delay=8 * MINUTE if number in (3, 5) else None
            )
            for number in range(6)
        ]

    def _work(self, job: RunningJob) -> None:
        self.began.append(job.data)
        if self.fails and job.data == 4:
            raise ValueError("it cannot be done")

    def work(self) -> None:
        while self.worker.step():
            pass

    def pass_time(self, *, minutes: int) -> None:
        for _ in range(minutes):
            self.work()
            self.clock.advance(MINUTE)
            tick(self.installation)
        self.work()

    def lasts(self) -> list[Job]:
        return [job for job in self.remote.jobs() if job.data == "last"]


@pytest.fixture
def few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies, "EDGES_WITH_RECORD", 1)
    monkeypatch.setattr(linking, "EDGES_AT_A_TIME", 2)


def _submit(system: System, remote: RemoteJob) -> None:
    remote.queue().submit("work", data="last", depends=system.firsts, idempotency_key="last")


def _restart(system: System, remote: RemoteJob) -> None:
    remote.job(system.lasts()[0].id).restart(antecedents=False)


def _make_last(system: System) -> None:
    _submit(system, system.remote)
    system.lasts()[0].cancel()


def _nothing_before(_: System) -> None:
    pass


@pytest.mark.usefixtures("few_at_a_time")
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("fault", [*CRASHES, *ERRORS, *STALLS])
@pytest.mark.parametrize(
    ("before", "act"),
    [
        pytest.param(_nothing_before, _submit, id="submit"),
        pytest.param(_make_last, _restart, id="restart"),
    ],
)
def test_a_fault_at_any_request_loses_nothing_and_begins_nothing_early(
    before: Callable[[System], None],
    act: Callable[[System, RemoteJob], None],
    fault: Fault,
    fails: bool,  # noqa: FBT001
) -> None:
    for number in range(1, 10_000):
        systems: list[System] = []

        def others_act(systems: list[System] = systems) -> None:
            systems[0].pass_time(minutes=1)

        faults = Faults(fault, meanwhile=others_act)
        system = System(faults, fails=fails)
        systems.append(system)
        before(system)
        faults.strike_in(number)
        with suppress(Crash, Exception):
            act(system, system.faulty)
        if faults.struck is None:
            break
        if act is _submit:
            # as whoever got no answer does; refused, if one of the others has failed meanwhile
            with suppress(Exception):
                _submit(system, system.remote)
        system.pass_time(minutes=25)

        lasts = system.lasts()
        assert len(lasts) <= 1, faults.report()
        if fails:
            assert "last" not in system.began, faults.report()
            assert all(job.state is State.CANCELLED for job in lasts), faults.report()
            continue
        (last,) = lasts
        if act is _restart and last.state is State.CANCELLED:
            # the command was never carried out
            assert "last" not in system.began, faults.report()
            continue
        assert last.state is State.COMPLETED, faults.report()
        assert system.began.index("last") == 6, faults.report()
        assert system.began.count("last") == 1, faults.report()
    # the record, three transactions of edges, and the note that all are stored
    assert number > 5


def _without_its_submitter(system: System, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A dependent whose submitter died after the first transaction."""
    with monkeypatch.context() as patch:
        patch.setattr(dependencies, "try_to_link", lambda *_: None)
        _submit(system, system.remote)
    (last,) = system.lasts()
    assert last.record.linking is not None
    return last


@pytest.mark.usefixtures("few_at_a_time")
@pytest.mark.parametrize("moment", ["link_rest", "follow"])
def test_an_antecedent_restarted_during_the_recheck_is_waited_for(
    moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = System(Faults(CRASHES[0]), fails=True)
    last = _without_its_submitter(system, monkeypatch)
    system.work()
    failed = system.firsts[4]
    assert failed.refresh().state is State.FAILED
    system.fails = False
    real = getattr(dependencies, moment)

    def restarting(*args: Any) -> Any:
        # a manager: after the edges were stored, or after the second look at the antecedents
        if moment == "follow":
            if args[0].antecedent == failed.id and failed.refresh().state is State.FAILED:
                failed.restart()
            return real(*args)
        found = real(*args)
        if failed.refresh().state is State.FAILED:
            failed.restart()
        return found

    monkeypatch.setattr(dependencies, moment, restarting)
    system.pass_time(minutes=25)

    assert failed.refresh().state is State.COMPLETED
    assert last.refresh().state is State.COMPLETED
    assert last.record.linking is None


@pytest.mark.usefixtures("few_at_a_time")
def test_an_antecedent_that_could_not_be_read_at_first_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    system = System(Faults(CRASHES[0]), fails=False)
    last = _without_its_submitter(system, monkeypatch)
    real = linking.link_rest
    looks: list[int] = []

    def blind(record: JobRecord, antecedents: Sequence[str], installation: Installation) -> Any:
        looks.append(1)
        seen = antecedents[1:] if len(looks) == 1 else antecedents
        return real(record, seen, installation)

    monkeypatch.setattr(dependencies, "link_rest", blind)
    system.clock.advance(3 * MINUTE)
    tick(system.installation)
    assert looks
    assert last.refresh().record.linking is not None
    system.pass_time(minutes=25)

    assert last.refresh().state is State.COMPLETED


@pytest.mark.usefixtures("few_at_a_time")
def test_where_edges_are_refused_the_recheck_follows_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    system = System(Faults(CRASHES[0]), fails=False)
    last = _without_its_submitter(system, monkeypatch)

    def refused(*_: object) -> Any:
        raise StoreUnavailable("the items of a transaction take more than 4 MB together")

    monkeypatch.setattr(dependencies, "link_rest", refused)
    system.pass_time(minutes=60)

    assert last.refresh().state is State.COMPLETED


@pytest.mark.usefixtures("few_at_a_time")
def test_edges_stored_again_and_again_add_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System(Faults(CRASHES[0]), fails=False)
    last = _without_its_submitter(system, monkeypatch)
    # an antecedent that cannot be read keeps it so
    monkeypatch.setattr(dependencies, "finish_linking", lambda *_: None)
    for _ in system.firsts:
        dependencies.recheck(last.refresh().record, system.installation)
        system.worker.step()
    system.pass_time(minutes=10)

    assert last.refresh().state is State.COMPLETED
    assert not last.record.history
