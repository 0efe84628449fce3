"""The switches of the queues: which ones somebody stopped."""

from __future__ import annotations

from collections.abc import Iterator

from remotejob.cli.doctor.deployed.context import Context
from remotejob.cli.doctor.findings import Finding, Severity
from remotejob.jobs.coordination.queue_switch import stop_of


def check_switches(context: Context) -> Iterator[Finding]:
    for name in context.installation.queues:
        stopped = stop_of(name, context.installation)
        if stopped is not None:
            yield Finding(
                place=f"queue {name}",
                what=f"it is stopped since {stopped.since:%Y-%m-%dT%H:%M:%SZ}, by {stopped.by}: "
                "nobody takes its jobs",
                remedy=f"start it: remotejob start {name}",
                severity=Severity.WARNING,
            )
