"""This machine's clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from remotejob.cli.doctor.deployed.context import Context
from remotejob.cli.doctor.findings import Finding

_RESOLUTION: Final = timedelta(seconds=2)
"""AWS's answers have the time in whole seconds, and take a moment to come."""


def check_clock(context: Context) -> Iterator[Finding]:
    ahead = context.installation.clock_ahead
    if ahead is not None and abs(ahead) > context.installation.skew + _RESOLUTION:
        seconds = ahead.total_seconds()
        yield Finding(
            place="the clock of this machine",
            what=f"it is {abs(seconds):.0f} s {'ahead' if seconds > 0 else 'behind'} of AWS's; "
            "beyond five minutes, AWS refuses every request",
            remedy="let this machine take its time from the network, such as by NTP",
        )
