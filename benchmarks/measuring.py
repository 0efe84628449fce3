"""Measure a system: idle, busy, and killed.

CPU seconds are user and system time of its processes, from when they are warm to the end; start-up
is a separate figure. The server counts requests, including retries. Requests before the first
receive belong to start-up. What no job causes is counted apart: idle polls, which are receives that
bring no message, and a worker's signs of life.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from benchmarks.bench import BUILD, RECEIVE, Bench, Requests
from benchmarks.marks import Kind, Marks
from benchmarks.processes import Program, Running, cpu_seconds, kill, peak_mib, wait_for
from benchmarks.systems import SHORT_VISIBILITY_S, System, Way

_WARM_SUBMITS = 20
_WARM_JOBS = 50
_SETTLED_S = 1.2
"""Longer than any system waits to batch a delete."""
_TIMEOUT_S = 180
_TIMEOUT_PER_JOB_S = 0.2
_PAUSE_S = 0.7
_BEFORE_KILL_S = 0.3
_ENDED_BEFORE_KILL = 8
"""Jobs that must have ended before we kill the worker."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How many jobs, repetitions and seconds to measure."""

    jobs: int = 1000
    repetitions: int = 5
    latencies: int = 30
    idle_s: float = 60
    kill: bool = True
    quick: bool = False
    """Leave out systems that would take too long."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Idle:
    """What a system uses without jobs, or with one at a time."""

    start_cpu_s: float
    start_s: float
    start_requests: Requests = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    requests_per_minute: Requests = field(default_factory=Counter)
    cpu_per_minute_s: float = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """What the submitter or the worker used for a number of jobs."""

    jobs: int
    requests: Requests
    """What the jobs caused: neither idle polls nor signs of life."""
    cpu_ms_a_job: float
    """Equal to the seconds for a thousand jobs."""
    units: dict[str, float] = field(default_factory=dict)
    """DynamoDB's units by kind."""
    idle_polls: int = 0
    """Receives that brought no message."""
    signs_of_life: int = 0

    @property
    def requests_a_job(self) -> float:
        return sum(self.requests.values()) / self.jobs


@dataclass(frozen=True, kw_only=True, slots=True)
class Busy:
    """One repetition."""

    submit: dict[str, Side]
    """The submitter's side, by the name of the way it submits."""
    work: Side
    peak_mib: float
    seconds: float
    """From the worker's start until it made no more requests."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Killed:
    """What happened to jobs when their worker was killed and another one started."""

    in_flight: int
    ended: int
    """Jobs that had ended before the kill."""
    lost: int
    in_flight_again: int
    ended_again: int
    """Jobs that had ended but ran again."""


def idle(bench: Bench, systems: Iterable[System], plan: Plan) -> dict[str, Idle | str]:
    """Start all systems one after another, then measure them together while idle.

    Returns the measurements by name, or the error of a system that did not start.
    """
    found: dict[str, Idle | str] = {}
    with ExitStack() as opened:
        started: list[tuple[System, Running, Idle]] = []
        for system in systems:
            say(f"starting {system.name}")
            try:
                started.append((system, *_start(bench, opened, system, plan)))
            except Exception as problem:  # noqa: BLE001 (one failure must not stop the others)
                found[system.name] = f"{type(problem).__name__}: {problem}"
        time.sleep(_SETTLED_S)
        bench.reset()
        before = {system.name: cpu_seconds(worker.session) for system, worker, _ in started}
        say(f"all idle together for {plan.idle_s:.0f} s")
        time.sleep(plan.idle_s)
        minutes = plan.idle_s / 60
        for system, worker, first in started:
            spent = cpu_seconds(worker.session) - before[system.name]
            counted = bench.requests(system.worker_user)
            found[system.name] = replace(
                first,
                requests_per_minute=Counter({key: n / minutes for key, n in counted.items()}),
                cpu_per_minute_s=spent / minutes,
            )
    return found


def _start(bench: Bench, opened: ExitStack, system: System, plan: Plan) -> tuple[Running, Idle]:
    prepared = opened.enter_context(system.prepared(bench))
    marks = fresh_marks(bench)
    bench.reset()
    began = time.monotonic()
    worker = opened.enter_context(system.start_worker(bench, prepared, marks))
    wait_for(
        "first receive",
        lambda: bench.requests(system.worker_user)[RECEIVE],
        timeout_s=60,
        of=worker,
    )
    ready = Idle(
        start_cpu_s=cpu_seconds(worker.session),
        start_s=time.monotonic() - began,
        start_requests=_without_receives(bench.requests(system.worker_user)),
    )
    with system.start_submitter(bench, prepared, marks) as submitter:
        submitter.ask()
        return worker, replace(ready, latencies_ms=_latencies(submitter, marks, plan.latencies))


def busy(bench: Bench, system: System, idle: Idle, jobs: int) -> Busy:
    """Submit jobs, then let a worker run them."""
    marks = fresh_marks(bench)
    with system.prepared(bench) as prepared:
        with system.start_submitter(bench, prepared, marks) as submitter:
            submitter.ask()
            submit = {way.name: _submit(bench, system, submitter, way, jobs) for way in system.ways}
        waiting = sum(side.jobs + _WARM_SUBMITS for side in submit.values())
        bench.reset()
        began = time.monotonic()
        with system.start_worker(bench, prepared, marks) as worker:
            wait_for("first jobs", lambda: marks.count() >= _WARM_JOBS, timeout_s=60, of=worker)
            cpu, done = cpu_seconds(worker.session), marks.count()
            wait_for(
                f"{waiting} jobs",
                lambda: marks.count() >= waiting,
                timeout_s=max(_TIMEOUT_S, waiting * _TIMEOUT_PER_JOB_S),
                of=worker,
            )
            all_ran = time.monotonic()
            _settle(bench, system)
            idle_s = time.monotonic() - all_ran
            spent = cpu_seconds(worker.session) - cpu - idle.cpu_per_minute_s * idle_s / 60
            counted = bench.counted(system.worker_user, sign_of_life=system.sign_of_life)
            return Busy(
                submit=submit,
                work=Side(
                    jobs=waiting,
                    requests=Counter(counted.requests - idle.start_requests),
                    cpu_ms_a_job=max(0.0, spent) * 1000 / (waiting - done),
                    units=bench.units(system.worker_user),
                    idle_polls=counted.idle_polls,
                    signs_of_life=counted.signs_of_life,
                ),
                peak_mib=peak_mib(worker.session),
                seconds=time.monotonic() - began,
            )


def killed(bench: Bench, system: System) -> Killed:
    """Kill the worker while it runs jobs, start another, and see what happens to the jobs."""
    jobs, nap_s = 3 * max(system.at_a_time, 8), 1.0
    marks = fresh_marks(bench)
    with system.prepared(bench, short=True) as prepared:
        with system.start_submitter(bench, prepared, marks) as submitter:
            submitter.ask()
            submitter.ask(do="nap", first=0, count=jobs, seconds=nap_s)
        with system.start_worker(bench, prepared, marks) as worker:
            wait_for(
                "jobs in flight", lambda: _ready_to_kill(marks, system.at_a_time), timeout_s=60
            )
            # give systems that acknowledge at the start time to do so
            time.sleep(_BEFORE_KILL_S)
            kill(worker.session)
        before = _numbers(marks)
        with system.start_worker(bench, prepared, marks):
            _wait_for_the_rest(marks, jobs, quiet_s=3 * SHORT_VISIBILITY_S + jobs * nap_s)
        return compare(before, _numbers(marks), jobs)


def best(repetitions: list[Busy]) -> Busy:
    """The repetition whose worker used the least CPU: the least disturbed on a shared machine.

    The submitter's figures are the best ones of each way to submit.
    """
    least = min(repetitions, key=lambda one: one.work.cpu_ms_a_job)
    submit = {
        way: min((one.submit[way] for one in repetitions), key=lambda side: side.cpu_ms_a_job)
        for way in least.submit
    }
    return Busy(
        submit=submit,
        work=least.work,
        peak_mib=max(one.peak_mib for one in repetitions),
        seconds=least.seconds,
    )


def median_and_worst(values: list[float]) -> tuple[float, float]:
    return statistics.median(values), max(values)


# --- parts ----------------------------------------------------------------------------------------


def fresh_marks(bench: Bench) -> Marks:
    return Marks(BUILD / "marks" / bench.fresh("marks"))


def say(what: str) -> None:
    """Print progress to standard error."""
    print(f"  {what}", file=sys.stderr, flush=True)


def _without_receives(requests: Requests) -> Requests:
    return Counter({key: count for key, count in requests.items() if key != RECEIVE})


def _latencies(submitter: Program, marks: Marks, count: int) -> list[float]:
    """Milliseconds from the call that submits to the handler's first line, one job at a time."""
    found = []
    # two extra jobs at first, for work that a process does only once
    for number in range(-2, count):
        submitted = submitter.ask(do="nap", first=number, count=1, seconds=0)
        wait_for("a job", lambda n=number: marks.count() >= 2 * (n + 3), timeout_s=30)
        began = next(m.at_ns for m in marks.read()[-2:] if m.kind is Kind.START)
        found.append((began - submitted["at_ns"]) / 1e6)
        # until idle again: longer than any system waits to batch a request
        time.sleep(_PAUSE_S)
    return found[2:]


def _submit(bench: Bench, system: System, submitter: Program, way: Way, jobs: int) -> Side:
    submitter.ask(do=way.command, count=_WARM_SUBMITS)
    # a multiple of both batch sizes, ten and a hundred
    count = max(100, int(jobs * way.share) // 100 * 100)
    bench.reset()
    spent = submitter.ask(do=way.command, count=count)["cpu"]
    return Side(
        jobs=count,
        requests=bench.requests(system.submitter_user),
        cpu_ms_a_job=spent * 1000 / count,
        units=bench.units(system.submitter_user),
    )


def _settle(bench: Bench, system: System) -> None:
    """Wait until the worker makes no requests except receives."""
    before, since = None, time.monotonic()
    while time.monotonic() - since < _SETTLED_S:
        now = _without_receives(bench.requests(system.worker_user))
        if now != before:
            before, since = now, time.monotonic()
        time.sleep(0.1)


def _numbers(marks: Marks) -> tuple[Counter[int], Counter[int]]:
    """How often each job started, and how often it ended."""
    all_marks = marks.read()
    began, ended = (Counter(m.number for m in all_marks if m.kind is kind) for kind in Kind)
    return began, ended


def _ready_to_kill(marks: Marks, at_a_time: int) -> bool:
    began, ended = _numbers(marks)
    done = sum(ended.values())
    return done >= _ENDED_BEFORE_KILL and sum(began.values()) - done >= at_a_time


def _wait_for_the_rest(marks: Marks, jobs: int, *, quiet_s: float) -> None:
    """Wait until every job has ended, or nothing has happened for `quiet_s`."""
    count, since = marks.count(), time.monotonic()
    while len(_numbers(marks)[1]) < jobs and time.monotonic() - since < quiet_s:
        if marks.count() != count:
            count, since = marks.count(), time.monotonic()
        time.sleep(0.1)
    # about now, messages of ended jobs that were not deleted become visible again
    time.sleep(SHORT_VISIBILITY_S * 1.5)


def compare(
    before: tuple[Counter[int], Counter[int]], after: tuple[Counter[int], Counter[int]], jobs: int
) -> Killed:
    """What happened to the jobs, from their starts and ends counted at the kill and at the end."""
    ended = set(before[1])
    in_flight = set(before[0]) - ended
    again = {number for number, times in after[0].items() if times > before[0][number]}
    return Killed(
        in_flight=len(in_flight),
        ended=len(ended),
        lost=jobs - len(after[1]),
        in_flight_again=len(again & in_flight),
        ended_again=len(again & ended),
    )
