"""A queue and its workers on Fargate, as far as scaling sees them, on a simulated clock.

Counts are late or missing, starts take half a minute to four, fail, or are reclaimed; the scheduler
ticks and may be nudged. Only the decision is ours: `remotejob.domain.scaling`.

Sources: Amazon ECS Developer Guide, "Protect your Amazon ECS tasks from being terminated by
scale-in events", "Amazon ECS service throttle logic"; Amazon SQS API Reference, GetQueueAttributes:
the counts are approximate, and consistent after a minute.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from remotejob.domain.fleet import StoppedTask, WorkersDescription
from remotejob.domain.scaling import Decision, LaneCount, ScalingState, Seen, decide
from remotejob.domain.starts import failed_starts

STEP_S: Final = 5
TICK_S: Final = 60
_LONGEST_EXCESS: Final = 2
"""Ticks."""
PROTECTED_AFTER_S: Final = 5
"""From the receive of a job until its worker's protection takes effect."""
SIGN_S: Final = 60
"""Between two signs of life of a busy worker, and until one tells that it has nothing to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """What happens to a queue, and how unreliable all around it is."""

    seed: int
    hours: float = 4
    bursts: tuple[tuple[float, int], ...] = ()
    """Minutes, and jobs submitted at that time."""
    trickle_s: float | None = None
    """Mean seconds between single jobs; None for none."""
    job_s: tuple[float, float] = (5, 60)
    """Shortest and longest job."""
    late_s: int = 45
    """How old counts may be."""
    missing: float = 0.02
    """Part of the counts that cannot be had."""
    start_s: tuple[float, float] = (30, 240)
    fails: Callable[[float], float] = field(default=lambda _: 0.0)
    """By the minute, the part of the starts that fail."""
    reclaimed_an_hour: float = 0.0
    """Part of the workers that Spot takes away in an hour."""
    quota: int = 10_000
    """Workers that Fargate grants."""
    most_starts: int | None = None
    """Starts that are not too many for it."""
    nudges: bool = True
    max_workers: int = 50
    jobs_at_a_time: int = 4


@dataclass(kw_only=True, slots=True)
class Worker:
    """One task of the service."""

    runs_at: float
    fails: bool
    jobs: list[float] = field(default_factory=list)
    """When each of its jobs ends, the first first."""
    busy_since: float | None = None
    signed: float = float("-inf")
    signed_busy: bool = False
    leaves_at: float | None = None
    """When a stopped worker's container is killed."""


@dataclass(kw_only=True, slots=True)
class Findings:
    """What must hold, and figures."""

    below_busy: int = 0
    """How many fewer workers were desired than were busy and protected, at most."""
    interrupted: int = 0
    """Jobs that a stopped worker had begun and could not end within its grace."""
    excess_ticks: int = 0
    """The longest time, in ticks, that more were desired than were needed, as far as known."""
    stuck_ticks: int = 0
    """The longest time, in ticks, at no desired worker while jobs waited."""
    needless_changes: int = 0
    """Changes up or down that nothing had asked for."""
    changes: int = 0
    waits_s: list[float] = field(default_factory=list)
    """From submit to start, of each job."""
    worker_s: float = 0
    busy_s: float = 0
    starts: int = 0
    failed: int = 0
    done: int = 0


class FleetWorld:
    """Runs a scenario, step by step."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.random = random.Random(scenario.seed)
        self.rules = WorkersDescription(
            cluster="c",
            service="s",
            min_workers=0,
            max_workers=scenario.max_workers,
            jobs_at_a_time=scenario.jobs_at_a_time,
            idle=timedelta(minutes=5),
            capacity=(),
        )
        self.now = 0.0
        self.waiting: deque[list[float]] = deque()
        """Jobs by the time of their submit: time and count."""
        self.visible = 0
        self.workers: list[Worker] = []
        self.desired = 0
        self.state = ScalingState()
        self.stopped: deque[StoppedTask] = deque(maxlen=100)
        self.counted: deque[tuple[float, int, int]] = deque()
        self.findings = Findings()
        self._needed: deque[tuple[float, int, int]] = deque()
        self._complete = self._asleep = 0
        self._worked = float("-inf")
        self._idle_seen = True
        """Whether a look without doubt came after the last work: the idle time begins with it."""
        self._throttled_until = 0.0
        self._failures_in_a_row = 0
        self._ended = 0
        self._arrivals: list[tuple[float, int]] = [(60 * at, n) for at, n in scenario.bursts]
        if scenario.trickle_s is not None:
            at = 0.0
            while (at := at + self.random.expovariate(1 / scenario.trickle_s)) < self._end_s:
                self._arrivals.append((at, 1))
        heapq.heapify(self._arrivals)
        self._next_tick = self.random.uniform(0, TICK_S)
        self._served = float("-inf")

    @property
    def _end_s(self) -> float:
        return 3600 * self.scenario.hours

    def run(self) -> Findings:
        while self.now < self._end_s:
            self._arrive()
            self._work()
            self._count()
            if self.now >= self._next_tick:
                self._next_tick += TICK_S
                self._look()
            self._start_and_stop()
            self._reclaim()
            self.now += STEP_S
        return self.findings

    # --- the queue -------------------------------------------------------------------------------

    def _arrive(self) -> None:
        came = 0
        while self._arrivals and self._arrivals[0][0] <= self.now:
            came += heapq.heappop(self._arrivals)[1]
        if not came:
            return
        self.waiting.append([self.now, came])
        self.visible += came
        idle = self.rules.idle.total_seconds()
        if self.scenario.nudges and self.now - self._served >= idle:
            self._look(nudged=True)
        self._served = self.now

    def _work(self) -> None:
        shortest, longest = self.scenario.job_s
        for worker in self.workers:
            if worker.fails or worker.runs_at > self.now:
                continue
            self.findings.worker_s += STEP_S
            while worker.jobs and worker.jobs[0] <= self.now:
                heapq.heappop(worker.jobs)
                self.findings.done += 1
            self.findings.busy_s += STEP_S if worker.jobs else 0
            while self.visible and not self._leaves(worker) and self._has_room(worker):
                first = self.waiting[0]
                self.findings.waits_s.append(self.now - first[0])
                first[1] -= 1
                if not first[1]:
                    self.waiting.popleft()
                self.visible -= 1
                heapq.heappush(worker.jobs, self.now + self.random.uniform(shortest, longest))
            if not worker.jobs:
                worker.busy_since = None
            elif worker.busy_since is None:
                worker.busy_since = self.now
            if self.now - worker.signed >= SIGN_S:
                worker.signed, worker.signed_busy = self.now, bool(worker.jobs)

    def _leaves(self, worker: Worker) -> bool:
        return worker.leaves_at is not None

    def _has_room(self, worker: Worker) -> bool:
        return len(worker.jobs) < self.scenario.jobs_at_a_time

    def _count(self) -> None:
        held = sum(len(worker.jobs) for worker in self.workers)
        self.counted.append((self.now, self.visible, held))
        while self.counted[0][0] < self.now - self.scenario.late_s - STEP_S:
            self.counted.popleft()
        busy = sum(1 for worker in self.workers if self._says_busy(worker))
        needed = -(-(self.visible + held) // self.scenario.jobs_at_a_time)
        needed = max(min(needed, self.scenario.max_workers), busy)
        if needed or not self._idle_seen:
            self._worked = self.now
            self._idle_seen = self._idle_seen and not needed
        # the last worker is needed for the idle time
        warm = self.now - self._worked <= self.rules.idle.total_seconds()
        self._needed.append((self.now, needed, int(warm)))

    def _says_busy(self, worker: Worker) -> bool:
        return worker.signed_busy and not self._leaves(worker)

    # --- the scheduler ---------------------------------------------------------------------------

    def _look(self, *, nudged: bool = False) -> None:
        counted = self.now - self.random.uniform(0, self.scenario.late_s)
        _, visible, held = min(self.counted or [(0, 0, 0)], key=lambda one: abs(one[0] - counted))
        # one lane has all the jobs, and each may be missing
        empty = LaneCount(visible=0, in_flight=0)
        lanes: list[LaneCount | None] = [LaneCount(visible=visible, in_flight=held), empty, empty]
        lanes = [None if self.random.random() < self.scenario.missing else one for one in lanes]
        # nothing is decided down in doubt, and the wait then begins again
        self._complete = self._complete + (not nudged) if None not in lanes else 0
        self._idle_seen = self._idle_seen or None not in lanes
        if not nudged:
            self._judge_tick()
        now_ms = round(self.now * 1000)
        running = [one for one in self.workers if one.runs_at <= self.now and not one.fails]
        failed = failed_starts(self.stopped, now_ms=now_ms, since_ms=self.state.mended_ms)
        decision = decide(
            Seen(
                now_ms=now_ms,
                lanes=tuple(lanes),
                desired=self.desired,
                running=len([one for one in running if not self._leaves(one)]),
                busy=sum(1 for one in running if self._says_busy(one)),
                failed_starts=len(failed),
                last_failure_ms=max((one.at_ms for one in failed), default=None),
                nudged=nudged,
            ),
            self.rules,
            self.state,
        )
        self._judge_change(decision, nudged=nudged)
        self.state, self.desired = decision.state, decision.desired
        if not nudged:
            self._judge_sleep()

    def _judge_change(self, decision: Decision, *, nudged: bool) -> None:
        """Whether what was needed lately, as far as it could be known, asked for a change."""
        if decision.desired == self.desired:
            return
        self.findings.changes += 1
        if decision.desired > self.desired:
            asked = decision.desired <= max(*self._lately(self._lag_s), int(nudged))
        else:
            # a job that came and went between two looks keeps no worker warm
            asked = decision.desired >= min(self._lately(self._lag_s + 2 * TICK_S, warm=False))
        # after failures one more than what runs is tried, whatever is needed
        if not asked and decision.state.failing_since_ms is None:
            self.findings.needless_changes += 1

    def _judge_tick(self) -> None:
        """Before a tick's decision: for how many ticks has less been needed, as far as known?"""
        if self._complete <= _LONGEST_EXCESS:
            return
        ticks = 0
        while self.desired > max(self._lately(self._lag_s + ticks * TICK_S)) and ticks < 10:
            ticks += 1
        self.findings.excess_ticks = max(self.findings.excess_ticks, ticks)

    def _judge_sleep(self) -> None:
        """After a tick's decision: does the queue sleep though jobs wait?"""
        first = self.waiting[0][0] if self.waiting else self.now
        asleep = self.desired == 0 and self.now - first > self.scenario.late_s
        self._asleep = self._asleep + 1 if asleep else 0
        self.findings.stuck_ticks = max(self.findings.stuck_ticks, self._asleep)

    @property
    def _lag_s(self) -> float:
        """How old counts and signs of life may be."""
        return self.scenario.late_s + SIGN_S + STEP_S

    def _lately(self, seconds: float, *, warm: bool = True) -> list[int]:
        """What was needed within that time; with the last worker for the idle time, or without."""
        while self._needed and self._needed[0][0] < self.now - 1000:
            self._needed.popleft()
        recent = [one for one in self._needed if one[0] >= self.now - seconds]
        return [max(needed, kept if warm else 0) for _, needed, kept in recent] or [0]

    # --- the service -----------------------------------------------------------------------------

    def _start_and_stop(self) -> None:
        self._end_failed()
        staying = [one for one in self.workers if not self._leaves(one)]
        missing = min(self.desired, self.scenario.quota) - len(staying)
        if self.desired > self.scenario.quota and len(staying) >= self.scenario.quota:
            self._fail("RESOURCE:FARGATE", since=self._throttled_until)
        for _ in range(max(0, missing)):
            if self.now < self._throttled_until:
                break
            fails = self.random.random() < self.scenario.fails(self.now / 60)
            takes = self.random.uniform(*self.scenario.start_s)
            self.workers.append(Worker(runs_at=self.now + takes, fails=fails))
            self.findings.starts += 1
        if missing < 0:
            self._stop(staying, -missing)
        self.workers = [
            one
            for one in self.workers
            if one.leaves_at is None or (one.jobs and one.leaves_at > self.now)
        ]

    def _stop(self, staying: list[Worker], count: int) -> None:
        """ECS stops what starts first, then any that is not protected, busy or not."""
        starting = [one for one in staying if one.runs_at > self.now]
        running = [one for one in staying if one.runs_at <= self.now]
        self.random.shuffle(running)
        for worker in starting[:count]:
            self.workers.remove(worker)
        for worker in [one for one in running if not self._protected(one)][: count - len(starting)]:
            worker.leaves_at = self.now + 120
            self.findings.interrupted += sum(1 for end in worker.jobs if end > self.now + 100)
        busy = sum(1 for one in running if self._protected(one))
        self.findings.below_busy = max(self.findings.below_busy, busy - self.desired)

    def _protected(self, worker: Worker) -> bool:
        return worker.busy_since is not None and self.now - worker.busy_since >= PROTECTED_AFTER_S

    def _end_failed(self) -> None:
        for worker in [one for one in self.workers if one.fails and one.runs_at <= self.now]:
            self.workers.remove(worker)
            self._fail("CannotPullContainerError")
        if any(one.runs_at <= self.now and not one.fails for one in self.workers):
            self._failures_in_a_row = 0

    def _fail(self, reason: str, *, since: float | None = None) -> None:
        if since is not None and self.now < since:
            return
        self.findings.failed += 1
        self._failures_in_a_row += 1
        self.stopped.appendleft(
            StoppedTask(
                id=str(self.findings.failed),
                at_ms=round(self.now * 1000),
                reason=reason,
                code="TaskFailedToStart",
            )
        )
        # ever more rarely, up to a quarter of an hour apart
        wait = min(900, 10 * 2 ** min(10, self._failures_in_a_row))
        self._throttled_until = self.now + wait

    def _reclaim(self) -> None:
        chance = self.scenario.reclaimed_an_hour * STEP_S / 3600
        for worker in list(self.workers):
            if chance and not self._leaves(worker) and self.random.random() < chance:
                self.visible += len(worker.jobs)
                if worker.jobs:
                    # given back; how long they had waited is not counted again
                    self.waiting.appendleft([self.now, len(worker.jobs)])
                self.workers.remove(worker)
