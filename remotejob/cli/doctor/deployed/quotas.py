"""Whether the account may run as many workers as the queues may have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from remotejob.cli.doctor.before_deploy.quotas import FARGATE, how_to_raise, quota_of
from remotejob.cli.doctor.deployed.context import Context
from remotejob.cli.doctor.findings import Finding, Severity

_KINDS: Final = {"FARGATE": "On-Demand", "FARGATE_SPOT": "Spot"}
"""Which quota counts for a capacity provider."""

_UNITS_PER_VCPU: Final = 1024


def check_quotas(context: Context) -> Iterator[Finding]:
    """Compare the quotas of Fargate with the workers of all queues at once, each at its most."""
    wanted = dict.fromkeys(FARGATE, 0.0)
    for name, queue in context.installation.queues.items():
        workers = context.installation.fleet.describe(name)
        if workers is None or queue.size is None:
            continue
        vcpus = workers.max_workers * queue.size.cpu / _UNITS_PER_VCPU
        for kind in {_KINDS[one.provider] for one in workers.capacity if one.provider in _KINDS}:
            wanted[kind] += vcpus
    for kind, code in FARGATE.items():
        if not wanted[kind]:
            continue
        quota = quota_of(context.client, code)
        if quota < wanted[kind]:
            yield Finding(
                place=f"quota of Fargate {kind}",
                what=f"the queues at their `max_workers` take {wanted[kind]:g} vCPU, and the "
                f"region's quota is {quota:g}: some jobs wait for others",
                remedy=how_to_raise(code, wanted[kind]),
                severity=Severity.WARNING,
            )
