"""How our requests, CPU and memory grow: with the jobs that wait, and with those run at a time."""

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
_AT_A_TIME = (1, 2, 4, 8, 16, 32)
_JOBS_AT_A_TIME = 500
_LONGEST_S = 420
"""What one step may take: the embedded AWS is the slow part, and steps up to it suffice."""

_BULK = replace(OURS, ways=tuple(way for way in OURS.ways if way.name == "in bulk"))


def run(bench: Bench, *, most: int) -> dict[str, Any]:
    """Measure both and print them."""
    by_jobs, left_out = _by_jobs(bench, most)
    _show("jobs", f"remotejob in bulk, concurrency {CONCURRENCY}: growth with the jobs", by_jobs)
    if left_out:
        say(f"left out, as they failed or would take more than {_LONGEST_S} s here: {left_out}")
    by_width = {
        number: one
        for number in _AT_A_TIME
        if (one := _measure(bench, _JOBS_AT_A_TIME, number)) is not None
    }
    _show("at a time", f"remotejob, {_JOBS_AT_A_TIME} jobs: growth with the concurrency", by_width)
    return {
        "jobs": {number: _as_dict(one) for number, one in by_jobs.items()},
        "left_out": left_out,
        "at_a_time": {number: _as_dict(one) for number, one in by_width.items()},
    }


def _by_jobs(bench: Bench, most: int) -> tuple[dict[int, Busy], list[int]]:
    found: dict[int, Busy] = {}
    left_out: list[int] = []
    a_job_s = 0.0
    for number in (number for number in _JOBS if number <= most):
        if a_job_s * number > _LONGEST_S:
            left_out.append(number)
            continue
        began = time.monotonic()
        one = _measure(bench, number, CONCURRENCY)
        if one is None:
            left_out.append(number)
            continue
        found[number] = one
        a_job_s = (time.monotonic() - began) / number
    return found, left_out


def _measure(bench: Bench, jobs: int, at_a_time: int) -> Busy | None:
    """None where it failed, which is said."""
    say(f"{jobs} jobs, {at_a_time} at a time")
    system = replace(_BULK, variables={Env.CONCURRENCY: str(at_a_time)})
    # nothing is taken off: what it does meanwhile belongs to it here
    try:
        return busy(bench, system, Idle(start_cpu_s=0, start_s=0), jobs)
    except Exception as problem:  # noqa: BLE001 (one step that fails leaves the others)
        say(f"{type(problem).__name__}: {problem}")
        return None


def _show(column: str, title: str, found: dict[int, Busy]) -> None:
    table(
        title,
        [column, "submit req", "submit CPU ms", "work req", "work CPU ms", "RSS MiB", "jobs/s"],
        [
            [
                f"{number:,}",
                *(
                    figure
                    for side in (one.submit["in bulk"], one.work)
                    for figure in (f"{side.requests_a_job:.3f}", f"{side.cpu_ms_a_job:.3f}")
                ),
                f"{one.peak_mib:.0f}",
                f"{one.work.jobs / one.seconds:,.0f}",
            ]
            for number, one in found.items()
        ],
    )


def _as_dict(one: Busy) -> dict[str, Any]:
    bulk = one.submit["in bulk"]
    return {
        "submit_requests": bulk.requests_a_job,
        "submit_cpu_ms": bulk.cpu_ms_a_job,
        "work_requests": one.work.requests_a_job,
        "work_cpu_ms": one.work.cpu_ms_a_job,
        "peak_mib": one.peak_mib,
        "seconds": one.seconds,
    }
