"""Any order of submits, runs, crashes, losses and clocks that disagree comes to a good end."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from remotejob.domain.repeat import Repeat
from remotejob.domain.retry import Retry
from remotejob.domain.states import State
from remotejob.jobs.commands import commands
from remotejob.jobs.commands.restart import restart
from remotejob.jobs.submission.submission import Submission
from remotejob.ports import Address, Installation
from remotejob.tasks.running_job import RunningJob
from remotejob.testing.crashes import Call, Crash, Fault, Faults
from remotejob.testing.late_writes import Late, LateWrites
from tests.simulation.clocks import SkewedClock
from tests.simulation.invariants import check_invariants
from tests.simulation.playing import memory_world
from tests.simulation.world import LANES, MINUTES, Uploaded

SKEW = timedelta(seconds=1)

WORKERS = ("worker 1", "worker 2")
"""The clock of the first is ahead, that of the second behind."""


RETRIES = st.builds(
    Retry,
    max_attempts=st.integers(1, 4),
    wait=st.sampled_from([timedelta(0), timedelta(minutes=1), timedelta(hours=1)]),
)

COMMANDS = (
    commands.cancel,
    partial(commands.cancel, antecedents=True),
    commands.pause,
    commands.resume,
    restart,
    partial(restart, dependents=True),
    partial(restart, antecedents=False),
    commands.make_ready,
    partial(commands.make_ready, independent=True),
    commands.remove,
)


class Troubles(Faults):
    """Faults, and writes that take effect late."""

    def __init__(self) -> None:
        super().__init__()
        self.late_writes = LateWrites()

    def process(self, installation: Installation, name: str) -> Installation:
        return self.late_writes.process(super().process(installation, name), name)

    def write_late(self, late: Late, *, writes: int, delay: int | None) -> None:
        """Let a write arrive late, after so many others."""
        self.late_writes.late, self.late_writes.delay = late, delay
        self.late_writes.strike_in(writes)
        self.struck = self.struck or Call(0, "", "a write that takes effect late", "")

    def disarm(self) -> None:
        super().disarm()
        self.late_writes.disarm()


EXPIRES = st.sampled_from([None, None, timedelta(minutes=1), timedelta(hours=2)])
CRASHES = st.sampled_from([None, None, None, 0, 1])


class Anything(RuleBasedStateMachine):
    """The model is the table of states: `check_invariants` holds every step against it."""

    def __init__(self) -> None:
        super().__init__()
        self.faults = Troubles()
        self.world = memory_world(self.faults)
        # jobs that wait for others' tries, an hour apart, end long after them
        self.world.patience = MINUTES * 10
        self.world.skew_ms = SKEW // timedelta(milliseconds=1)
        clock = self.world.clock
        self.world.clocks = dict(
            zip(WORKERS, (SkewedClock(clock, SKEW), SkewedClock(clock, -SKEW)), strict=True)
        )
        self.world.task(self._work, retry=Retry(max_attempts=2, wait=timedelta(minutes=1)))

    def _work(self, job: RunningJob) -> Any:
        """What the job was told to: each attempt does the next thing, then it completes."""
        told = (job.data or {}).get("do", [])
        act = told[job.attempt - 1] if 0 < job.attempt <= len(told) else "complete"
        job.output(f"{act}.txt", job.run_id.encode())
        job.log(act)
        match act:
            case "fail":
                raise ValueError("told to fail")
            case "die":
                raise Crash("told to die")
            case "beat":
                for _ in range(3):
                    self.world.advance(timedelta(seconds=25))
                    for worker in WORKERS:
                        self.world.beat(worker)
                    job.check()
            case "stall":
                self.world.advance(timedelta(seconds=70))
            case "overtaken":
                self.world.advance(timedelta(seconds=70))
                self.world.step("another worker")
        return {"run": job.run_id}

    @rule(
        do=st.lists(st.sampled_from(["fail", "die", "beat", "stall", "overtaken"]), max_size=4),
        delay=st.sampled_from([0, 30, 800, 4000]),
        priority=st.sampled_from([-10, 0, 10]),
        retry=st.one_of(st.none(), RETRIES),
        expires=EXPIRES,
        crashes=CRASHES,
    )
    def submit(
        self,
        do: list[str],
        delay: int,
        priority: int,
        retry: Retry | None,
        expires: timedelta | None,
        crashes: int | None,
    ) -> None:
        self.world.submit(
            Submission(
                task="work",
                data={"do": do},
                delay=timedelta(seconds=delay),
                priority=priority,
                retry=retry,
                expires=expires,
                crashes=crashes,
            )
        )

    @rule(
        do=st.lists(st.sampled_from(["fail", "die", "stall", "overtaken"]), max_size=3),
        antecedents=st.lists(st.integers(0, 9), max_size=3),
        resource=st.sampled_from([None, "printer", "scanner"]),
        tenant=st.sampled_from([None, "acme"]),
        repeat=st.sampled_from([None, None, Repeat(times=2, wait=timedelta(minutes=1))]),
        retry=st.one_of(st.none(), RETRIES),
        expires=EXPIRES,
        crashes=CRASHES,
    )
    def submit_together(
        self,
        do: list[str],
        antecedents: list[int],
        resource: str | None,
        tenant: str | None,
        repeat: Repeat | None,
        retry: Retry | None,
        expires: timedelta | None,
        crashes: int | None,
    ) -> None:
        known = [
            record.id
            for record in self.world.trace.records.values()
            if record.state not in (State.FAILED, State.CANCELLED)
        ]
        self.world.submit(
            Submission(
                task="work",
                data={"do": do},
                depends=[known[number % len(known)] for number in antecedents if known],
                resource=resource,
                tenant=tenant,
                repeat=repeat,
                retry=retry,
                expires=expires,
                crashes=crashes,
            )
        )

    @rule(version=st.integers(1, 3), times=st.integers(1, 2))
    def upload(self, version: int, times: int) -> None:
        for _ in range(times):
            self.world.upload(Uploaded(version=f"v{version}", at=version))

    @rule(worker=st.sampled_from(WORKERS))
    def step(self, worker: str) -> None:
        self.world.step(worker)

    @rule(
        calls=st.integers(1, 12),
        fault=st.sampled_from([fault for fault in Fault if "stall" not in fault]),
    )
    def something_goes_wrong_soon(self, calls: int, fault: Fault) -> None:
        self.faults.fault = fault
        self.faults.strike_in(calls)

    @rule(calls=st.integers(1, 12), worker=st.sampled_from(WORKERS), seconds=st.integers(0, 130))
    def somebody_stalls_soon(self, calls: int, worker: str, seconds: int) -> None:
        def meanwhile() -> None:
            self.world.advance(timedelta(seconds=seconds))
            self.world.step(f"{worker}, meanwhile")

        self.faults.meanwhile = meanwhile
        self.faults.fault = Fault.STALL_AFTER if calls % 2 else Fault.STALL_BEFORE
        self.faults.strike_in(calls)

    @rule(
        writes=st.integers(1, 8),
        late=st.sampled_from(Late),
        delay=st.sampled_from([0, 1, 3, 8, 20, 50, None]),
    )
    def a_write_takes_effect_late(self, writes: int, late: Late, delay: int | None) -> None:
        self.faults.write_late(late, writes=writes, delay=delay)

    @rule(seconds=st.sampled_from([1, 10, 61, 65, 300, 900, 7200, 90_000]))
    def advance(self, seconds: int) -> None:
        self.world.advance(timedelta(seconds=seconds))

    @rule()
    def tick(self) -> None:
        self.world.tick()

    @rule()
    def sweep(self) -> None:
        self.world.sweep()

    @precondition(lambda self: self.world.pending())
    @rule(lane=st.sampled_from(LANES), which=st.integers(0, 5))
    def lose_a_message(self, lane: Address, which: int) -> None:
        self.world.lose_message(lane, which)

    @precondition(lambda self: self.world.pending())
    @rule(lane=st.sampled_from(LANES), which=st.integers(0, 5))
    def deliver_twice(self, lane: Address, which: int) -> None:
        bodies = self.world.bodies(lane)
        if bodies:
            self.world.deliver(lane, bodies[which % len(bodies)])

    @precondition(lambda self: self.world.trace.records)
    @rule(command=st.sampled_from(COMMANDS), which=st.lists(st.integers(0, 9), max_size=3))
    def manage(self, command: Any, which: list[int]) -> None:
        """Some jobs, or with none named all of them."""
        known = list(self.world.trace.records)
        chosen = [known[number % len(known)] for number in which]
        self.world.command_if_allowed(command, *(chosen or known))

    @rule()
    def nonsense(self) -> None:
        self.world.deliver_nonsense(f"nonsense {len(self.world.nonsense)}")

    def teardown(self) -> None:
        try:
            self.world.run_to_quiet()
            self.faults.late_writes.arrive()
            if self.world.message_lost:
                # nothing is left that would announce an end which arrives so late
                self.world.unannounced |= set(self.world.trace.records)
            self.world.run_to_quiet()
            check_invariants(self.world)
        except BaseException as problem:
            problem.add_note(self.faults.report())
            raise


Anything.TestCase.settings = settings(
    max_examples=75,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)

TestAnything = Anything.TestCase
