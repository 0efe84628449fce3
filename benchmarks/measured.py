"""The measurements of one system."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.costs import Cost, per_million
from benchmarks.measuring import Busy, Idle, Killed, median_and_worst
from benchmarks.systems import System, Way
from remotejob.jobs.queries.prices import Prices


@dataclass(kw_only=True, slots=True)
class Result:
    """The measurements of one system; None where something was not measured."""

    system: System
    idle: Idle | None = None
    busy: Busy | None = None
    """The best repetition."""
    repetitions: list[Busy] | None = None
    killed: Killed | None = None
    record_bytes: int | None = None
    problem: str | None = None
    """Why a measurement is missing."""

    def cost(self, way: Way, prices: Prices) -> Cost | None:
        if self.busy is None:
            return None
        return per_million({"submit": self.busy.submit[way.name], "work": self.busy.work}, prices)


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """The comparable figures of one row; None where something was not measured."""

    submit_requests: float | None
    submit_cpu: float | None
    work_requests: float | None
    work_cpu: float | None
    start_cpu: float | None
    peak_mib: float | None
    idle_requests: float | None
    latency: float | None

    @classmethod
    def of(cls, result: Result, way: Way) -> Figures:
        busy, idle = result.busy, result.idle
        side = None if busy is None else busy.submit[way.name]
        return cls(
            submit_requests=None if side is None else side.requests_a_job,
            submit_cpu=None if side is None else side.cpu_ms_a_job,
            work_requests=None if busy is None else busy.work.requests_a_job,
            work_cpu=None if busy is None else busy.work.cpu_ms_a_job,
            start_cpu=None if idle is None else idle.start_cpu_s,
            peak_mib=None if busy is None else busy.peak_mib,
            idle_requests=None if idle is None else sum(idle.requests_per_minute.values()),
            latency=None if idle is None else median_and_worst(idle.latencies_ms)[0],
        )

    def values(self) -> list[float | None]:
        return [getattr(self, name) for name in self.__slots__]
