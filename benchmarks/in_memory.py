"""Throughput on the in-memory backend, in jobs per CPU second: our own code, without AWS clients.

Each number of jobs runs in its own process, `python -m benchmarks.in_memory N`, to measure its
memory separately.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

from benchmarks.processes import ROOT, high_water_kib
from benchmarks.report import table
from remotejob import RemoteJob, Submission
from remotejob.testing import FakeClock, Simulation, memory_installation

_JOBS = (100, 1_000, 10_000, 100_000)
_SUBMIT_BATCH = 1_000


def run(most: int) -> list[dict[str, Any]]:
    """Measure with up to `most` jobs, and print."""
    found = [_in_a_process(number) for number in _JOBS if number <= most]
    table(
        "in memory, one thread, submitted in bulk: jobs per CPU second",
        ["jobs", "submit", "work", "both", "RSS MiB", "KiB per job"],
        [
            [
                f"{one['jobs']:,}",
                f"{one['jobs'] / one['submit_cpu_s']:,.0f}",
                f"{one['jobs'] / one['work_cpu_s']:,.0f}",
                f"{one['jobs'] / (one['submit_cpu_s'] + one['work_cpu_s']):,.0f}",
                f"{one['peak_mib']:.0f}",
                f"{(one['peak_mib'] - one['before_mib']) * 1024 / one['jobs']:.1f}",
            ]
            for one in found
        ],
    )
    return found


def measure(jobs: int) -> dict[str, Any]:
    """Submit jobs and run them, in this process."""
    installation = memory_installation(FakeClock())
    simulation = Simulation(installation=installation)
    simulation.tasks.task("work")(_work)
    queue = RemoteJob(installation).queue()
    before = _peak_mib()
    began = time.process_time()
    for start in range(0, jobs, _SUBMIT_BATCH):
        size = min(_SUBMIT_BATCH, jobs - start)
        queue.submit_many([Submission(task="work") for _ in range(size)])
    submitted = time.process_time()
    done = 0
    while stepped := simulation.step():
        done += stepped
    worked = time.process_time()
    if done != jobs:
        raise RuntimeError(f"{done} of {jobs} jobs ran")
    return {
        "jobs": jobs,
        "submit_cpu_s": submitted - began,
        "work_cpu_s": worked - submitted,
        "before_mib": before,
        "peak_mib": _peak_mib(),
    }


def _work(_job: Any) -> None:
    """Do nothing."""


def _in_a_process(jobs: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.in_memory", str(jobs)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer


def _peak_mib() -> float:
    # getrusage would report the peak of the process we were forked from, if that was higher
    return high_water_kib(os.getpid()) / 1024


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
