"""The bars: limits that remotejob's figures must not exceed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.bench import LONGEST_POLL_S
from benchmarks.measured import Result
from benchmarks.measuring import Busy, Plan, median_and_worst
from benchmarks.systems import OURS, OURS_WITH_BODY, Way
from remotejob.domain.priority import Lane
from remotejob.jobs.queries.prices import Prices
from remotejob.jobs.queries.workers import BUSY
from remotejob.local.metering import INDEX_WRITES

EXACT = "count"
INDICATION = "indication"
WHOLE_MINUTE_S = 60
_ROUNDING = 0.005
"""Bars have two digits; a batch that was not full must not break one."""
_A_PUT_EACH = "a conditional put each: one without a condition, if late, revives an ended job"
"""BatchWriteItem knows no conditions. DynamoDB bills units, not requests: dollars and CPU time
keep their limits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One figure and its limit."""

    name: str
    value: float
    limit: float
    kind: str
    digits: int = 2
    reason: str = ""
    """Why the limit is what it is, where that surprises."""

    @property
    def passed(self) -> bool:
        return self.value <= self.limit + (_ROUNDING if self.kind == EXACT and self.digits else 0)

    @property
    def verdict(self) -> str:
        return "pass" if self.passed else "FAIL"

    @property
    def shown(self) -> str:
        return f"{self.value:,.{self.digits}f}"

    @property
    def limit_shown(self) -> str:
        return f"≤ {self.limit:,.{self.digits}f}"

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "value": self.value,
            "limit": self.limit,
            "kind": self.kind,
            "passed": self.passed,
            "reason": self.reason,
        }


def check(results: list[Result], plan: Plan, prices: Prices) -> list[Bar]:
    """The bars for all figures that have one."""
    found: list[Bar] = []
    for result in results:
        if result.system is OURS:
            found += _inline(result, prices)
            found += _at_rest(result, plan)
        elif result.system is OURS_WITH_BODY:
            found += _with_body(result, prices)
    return found


def _inline(result: Result, prices: Prices) -> Iterator[Bar]:
    busy = result.busy
    if busy is None:
        return
    one, bulk, work = busy.submit["one by one"], busy.submit["in bulk"], busy.work
    yield Bar(name="submit one by one, requests", value=one.requests_a_job, limit=2, kind=EXACT)
    yield Bar(name="submit one by one, CPU s", value=one.cpu_ms_a_job, limit=2.3, kind=INDICATION)
    yield Bar(
        name="submit in bulk, requests",
        value=bulk.requests_a_job,
        limit=1.10,
        kind=EXACT,
        reason=_A_PUT_EACH,
    )
    yield Bar(name="submit in bulk, CPU s", value=bulk.cpu_ms_a_job, limit=0.3, kind=INDICATION)
    yield Bar(name="worker, requests", value=work.requests_a_job, limit=2.3, kind=EXACT)
    yield from _caused_by_none("worker", busy)
    yield Bar(name="worker, CPU s", value=work.cpu_ms_a_job, limit=2.0, kind=INDICATION)
    yield Bar(name="worker, CPU s, ahead of all", value=work.cpu_ms_a_job, limit=1, kind=INDICATION)
    yield Bar(name="peak RSS MiB", value=busy.peak_mib, limit=60, kind=INDICATION, digits=0)
    if (cost := result.cost(_bulk(result), prices)) is not None:
        yield Bar(name="$ a million in bulk", value=cost.total, limit=2.10, kind=EXACT)
    if result.record_bytes is not None:
        yield Bar(name="record, bytes", value=result.record_bytes, limit=1024, kind=EXACT, digits=0)
    indexed = sum(side.units.get(INDEX_WRITES, 0) for side in (one, bulk, work))
    yield Bar(name="index writes", value=indexed, limit=0, kind=EXACT, digits=0)


def _at_rest(result: Result, plan: Plan) -> Iterator[Bar]:
    idle = result.idle
    if idle is None:
        return
    yield Bar(name="start-up CPU s", value=idle.start_cpu_s, limit=0.25, kind=INDICATION)
    # polls last twenty seconds: a shorter period has too many of them, or none
    if plan.idle_s >= WHOLE_MINUTE_S:
        counted = idle.requests_per_minute
        dynamodb = sum(n for (service, _), n in counted.items() if service == "dynamodb")
        yield Bar(
            name="idle, requests a minute a lane",
            value=(sum(counted.values()) - dynamodb) / len(Lane),
            limit=3,
            kind=EXACT,
        )
        yield Bar(name="idle, DynamoDB requests", value=dynamodb, limit=0, kind=EXACT, digits=0)
    if idle.latencies_ms:
        median, worst = median_and_worst(idle.latencies_ms)
        yield Bar(name="latency ms, median", value=median, limit=15, kind=INDICATION, digits=1)
        yield Bar(name="latency ms, worst", value=worst, limit=50, kind=INDICATION, digits=1)
    if (killed := result.killed) is not None:
        yield Bar(name="kill -9, jobs lost", value=killed.lost, limit=0, kind=EXACT, digits=0)
        yield Bar(
            name="kill -9, ended jobs run again",
            value=killed.ended_again,
            limit=0,
            kind=EXACT,
            digits=0,
        )


def _caused_by_none(name: str, busy: Busy) -> Iterator[Bar]:
    """No more of these requests than the time explains, so that none of a job's hides among them.

    An empty lane keeps one long poll open after another; the lane that had the jobs may end with
    one more, which did not wait. A sign of life is given at the start and once a minute.
    """
    polls_a_lane = 1 + int(busy.seconds // LONGEST_POLL_S)
    yield Bar(
        name=f"{name}, idle polls",
        value=busy.work.idle_polls,
        limit=len(Lane) * polls_a_lane + 1,
        kind=EXACT,
        digits=0,
    )
    yield Bar(
        name=f"{name}, signs of life",
        value=busy.work.signs_of_life,
        limit=1 + int(busy.seconds // BUSY.total_seconds()),
        kind=EXACT,
        digits=0,
    )


def _bulk(result: Result) -> Way:
    return next(way for way in result.system.ways if way.name == "in bulk")


def _with_body(result: Result, prices: Prices) -> Iterator[Bar]:
    busy = result.busy
    if busy is None:
        return
    work = busy.work
    yield Bar(name="worker with body, requests", value=work.requests_a_job, limit=4.3, kind=EXACT)
    yield from _caused_by_none("worker with body", busy)
    yield Bar(name="worker with body, CPU s", value=work.cpu_ms_a_job, limit=4, kind=INDICATION)
    if (cost := result.cost(_bulk(result), prices)) is not None:
        yield Bar(name="$ a million, S3 in and out", value=cost.total, limit=12.50, kind=EXACT)
