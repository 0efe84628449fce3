"""The scheduler reads letters, with a fault at each single request: nothing is lost or doubled."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from remotejob import Job, Queue, RemoteJob, Repeat, State
from remotejob.domain.given_up import GIVEN_UP_BUDGET
from remotejob.domain.transactions import put_record
from remotejob.jobs.messaging.messages import Pending
from remotejob.jobs.scheduler.sweep import sweep
from remotejob.jobs.scheduler.tick import tick
from remotejob.ports import Address, Channel, Installation, Outgoing
from remotejob.testing import FakeClock, Simulation
from remotejob.testing.crashes import CRASHES, ERRORS, STALLS, Crash, Fault, Faults, Unreachable
from tests.jobs.letters.letters import DEAD, HOUR, letters, take_messages, ticks
from tests.one_thread import OneThread
from tests.sampling import Sample, each_request, sampled
from tests.systems import installation_on

FAULTS = [*CRASHES, *ERRORS, *STALLS]


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    # a tick reads all shards, of which most are empty
    monkeypatch.setattr("remotejob.jobs.scheduler.tick.ThreadPoolExecutor", OneThread)


class Play:
    """Letters of a job that can run, of one that was given up too often, of one that has ended,
    and of none; one request goes wrong while the scheduler reads them."""

    def __init__(self, installation: Installation, clock: FakeClock, faults: Faults) -> None:
        self.installation, self.clock, self.faults = installation, clock, faults
        queue = RemoteJob(installation).queue()
        self.runnable = queue.submit("work")
        self.spent = self._changed(
            queue.submit("work", repeat=Repeat(wait=HOUR)),
            given_up=GIVEN_UP_BUDGET,
            state=State.READY,
        )
        self.ended = self._changed(
            queue.submit("work"), state=State.COMPLETED, finished_ms=clock.now_ms()
        )
        take_messages(installation)
        jobs = (self.runnable, self.spent, self.ended)
        bodies = [*(Pending.of(job.record).body() for job in jobs), "{"]
        installation.messages.send(DEAD, [Outgoing(body=body) for body in bodies])
        self.runs: Counter[str] = Counter()

    def _changed(self, job: Job, **values: Any) -> Job:
        record = replace(job.record, attention=None, attention_ms=None, due_ms=None, **values)
        self.installation.store.transact([replace(put_record(record), condition=None)])
        return job

    def struck(self) -> None:
        with suppress(Crash, Unreachable):
            ticks(self.faults.process(self.installation, "scheduler"), self.clock)

    def others(self) -> None:
        """What goes on while the scheduler stands still, or after it died."""
        ticks(self.installation, self.clock)
        tick(self.installation)
        worker = Simulation(installation=self.installation)
        worker.tasks.task("work")(lambda job: self.runs.update([job.id]))
        while worker.step():
            pass

    def recovered(self) -> None:
        self.faults.disarm()
        for _ in range(2):
            self.others()
        self.clock.advance(timedelta(minutes=30))
        sweep(self.installation)
        self.others()

    def check(self, queue: Queue) -> None:
        report = self.faults.report()
        assert self.runnable.refresh().state is State.COMPLETED, report
        assert self.runs[self.runnable.id] == 1, report
        assert self.runnable.record.given_up <= 1, report
        assert self.spent.refresh().state is State.FAILED, report
        assert self.spent.record.given_up == GIVEN_UP_BUDGET + 1, report
        assert (self.spent.record.owed, self.ended.refresh().record.owed) == (None, None), report
        assert self.runs[self.spent.id] == 0, report
        made = [job for job in queue.jobs() if job.origin_id == self.spent.id]
        assert [job.id for job in made] == [self.spent.next_id], report
        for job, channel in ((self.spent, Channel.FAILED), (self.ended, Channel.COMPLETED)):
            told = letters(self.installation, Address("default", channel))
            assert job.id in [json.loads(one.body)["id"] for one in told], report
        assert [letter.body for letter in letters(self.installation)] == ["{"], report


@pytest.mark.parametrize(("backend", "sample"), [*sampled(3, "memory"), *sampled(29, "aws")])
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_while_letters_are_read_loses_and_doubles_nothing(
    fault: Fault, backend: str, sample: Sample
) -> None:
    def run(number: int) -> Faults:
        clock = FakeClock()
        faults = Faults(fault, at=number)
        with installation_on(backend, clock) as installation:
            play = Play(installation, clock, faults)
            faults.meanwhile = play.others
            play.struck()
            play.recovered()
            play.check(RemoteJob(installation).queue())
        return faults

    each_request(run, fault, sample)
