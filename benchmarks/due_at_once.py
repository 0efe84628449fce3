"""The scheduler with very many jobs due at once: one tick, on the in-memory backend.

It counts calls at the ports, converted to AWS requests where calls are batched. The embedded AWS
would be useless here: we would measure its CPU.
"""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta
from typing import Any

from benchmarks.report import table
from remotejob import Submission
from remotejob.client.remote_job import RemoteJob
from remotejob.jobs.scheduler.tick import tick
from remotejob.ports import Installation
from remotejob.testing import FakeClock, memory_installation

SEND_BATCH = 10
READ_BATCH = 100


class _Counting:
    """Counts the calls of a port."""

    def __init__(self, port: Any, calls: Counter[str]) -> None:
        self._port = port
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not callable(found):
            return found

        def counted(*args: Any, **named: Any) -> Any:
            requests = 1
            if name == "send":
                requests = -(-len(args[1]) // SEND_BATCH)
            elif name == "get_many":
                requests = -(-len(args[0]) // READ_BATCH)
            self._calls[name] += requests
            return found(*args, **named)

        return counted


def run(jobs: int) -> None:
    """Submit jobs that are all due at one time, advance to it, tick once, and print."""
    clock = FakeClock()
    plain = memory_installation(clock)
    queue = RemoteJob(plain).queue()
    queue.submit_many([Submission(task="work", delay=timedelta(hours=1)) for _ in range(jobs)])
    clock.advance(timedelta(hours=1))
    calls: Counter[str] = Counter()
    installation = Installation(
        name=plain.name,
        store=_Counting(plain.store, calls),
        messages=_Counting(plain.messages, calls),
        files=plain.files,
        clock=clock,
        entropy=plain.entropy,
        queues=plain.queues,
        lease=plain.lease,
        retention=plain.retention,
    )
    began, began_wall = time.process_time(), time.monotonic()
    counts = tick(installation)
    spent, wall = time.process_time() - began, time.monotonic() - began_wall
    again = tick(installation)
    table(
        f"scheduler: {jobs:,} jobs due at once, one tick, in memory",
        ["", "total", "per job"],
        [
            ["messages sent", f"{counts['sent']:,}", f"{counts['sent'] / jobs:.3f}"],
            *([name, f"{count:,}", f"{count / jobs:.3f}"] for name, count in sorted(calls.items())),
            ["CPU s (without AWS's client)", f"{spent:.1f}", f"{spent / jobs * 1000:.3f} ms"],
            ["seconds", f"{wall:.1f}", ""],
            ["sent again by the next tick", f"{again['sent']:,}", ""],
        ],
    )
