"""How our requests, CPU and memory grow with the number of jobs and with the concurrency."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from benchmarks.bench import Bench
from benchmarks.measuring import Busy, Idle, busy, say
from benchmarks.report import table
from benchmarks.systems import CONCURRENCY, OURS
from remotejob.names import Env

_JOBS = (100, 1_000, 3_000, 10_000, 30_000, 100_000)
_CONCURRENCIES = (1, 2, 4, 8, 16, 32)
_JOBS_PER_CONCURRENCY = 500
_LONGEST_S = 420
"""Skip steps that would take longer; the embedded AWS is what makes them slow."""

_BULK = replace(OURS, ways=tuple(way for way in OURS.ways if way.name == "in bulk"))


def run(bench: Bench, *, most: int) -> dict[str, Any]:
    """Measure both and print them."""
    by_jobs, skipped = _by_jobs(bench, most)
    _show("jobs", f"remotejob in bulk, concurrency {CONCURRENCY}: growth with the jobs", by_jobs)
    if skipped:
        say(f"skipped, because they failed or would take over {_LONGEST_S} s: {skipped}")
    by_concurrency = {
        concurrency: measured
        for concurrency in _CONCURRENCIES
        if (measured := _measure(bench, _JOBS_PER_CONCURRENCY, concurrency)) is not None
    }
    _show(
        "at a time",
        f"remotejob, {_JOBS_PER_CONCURRENCY} jobs: growth with the concurrency",
        by_concurrency,
    )
    return {
        "jobs": {number: _as_dict(measured) for number, measured in by_jobs.items()},
        "left_out": skipped,
        "at_a_time": {number: _as_dict(measured) for number, measured in by_concurrency.items()},
    }


def _by_jobs(bench: Bench, most: int) -> tuple[dict[int, Busy], list[int]]:
    found: dict[int, Busy] = {}
    skipped: list[int] = []
    seconds_per_job = 0.0
    for number in (number for number in _JOBS if number <= most):
        if seconds_per_job * number > _LONGEST_S:
            skipped.append(number)
            continue
        began = time.monotonic()
        measured = _measure(bench, number, CONCURRENCY)
        if measured is None:
            skipped.append(number)
            continue
        found[number] = measured
        seconds_per_job = (time.monotonic() - began) / number
    return found, skipped


def _measure(bench: Bench, jobs: int, concurrency: int) -> Busy | None:
    """Measure one step. Returns None, and prints why, when it failed."""
    say(f"{jobs} jobs, {concurrency} at a time")
    system = replace(_BULK, variables={Env.CONCURRENCY: str(concurrency)})
    # an empty Idle, so that nothing is subtracted: idle work belongs to the figures here
    try:
        return busy(bench, system, Idle(start_cpu_s=0, start_s=0), jobs)
    except Exception as problem:  # noqa: BLE001 (a failed step must not stop the others)
        say(f"{type(problem).__name__}: {problem}")
        return None


def _show(column: str, title: str, found: dict[int, Busy]) -> None:
    table(
        title,
        [column, "submit req", "submit CPU ms", "work req", "work CPU ms", "idle polls", "RSS MiB",
         "jobs/s"],
        [
            [
                f"{number:,}",
                *(
                    figure
                    for side in (one.submit["in bulk"], one.work)
                    for figure in (f"{side.requests_a_job:.3f}", f"{side.cpu_ms_a_job:.3f}")
                ),
                f"{one.work.idle_polls:,}",
                f"{one.peak_mib:.0f}",
                f"{one.work.jobs / one.seconds:,.0f}",
            ]
            for number, one in found.items()
        ],
    )  # fmt: skip


def _as_dict(one: Busy) -> dict[str, Any]:
    bulk = one.submit["in bulk"]
    return {
        "submit_requests": bulk.requests_a_job,
        "submit_cpu_ms": bulk.cpu_ms_a_job,
        "work_requests": one.work.requests_a_job,
        "idle_polls": one.work.idle_polls,
        "work_cpu_ms": one.work.cpu_ms_a_job,
        "peak_mib": one.peak_mib,
        "seconds": one.seconds,
    }
