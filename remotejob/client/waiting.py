"""Poll until a job or a batch has ended."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from remotejob.domain.argument_checks import check_number, is_a
from remotejob.domain.errors import InvalidData, WaitTimeout
from remotejob.domain.text import shown
from remotejob.domain.times import check_timedelta
from remotejob.ports import Clock

_FIRST_PAUSE: Final = timedelta(milliseconds=100)
_GROWTH: Final = 1.5
_LONGEST_S: Final = timedelta(days=36_500).total_seconds()
"""Longer is for ever; the arithmetic of times ends somewhere."""


def _seconds(timeout: object) -> float:
    if timeout is None:
        return math.inf
    remedy = "use seconds from 0, a timedelta, or None to wait for ever"
    if is_a(timeout, timedelta):
        seconds = check_timedelta("timeout", timeout).total_seconds()
    else:
        seconds = check_number("timeout", timeout, remedy=remedy)
    if not seconds >= 0:
        raise InvalidData(f"timeout={shown(timeout)}: {remedy}")
    return math.inf if seconds > _LONGEST_S else seconds


def poll_until(
    ended: Callable[[], bool],
    *,
    timeout: timedelta | float | None,
    longest_pause: timedelta,
    clock: Clock,
    timed_out: Callable[[float], WaitTimeout],
) -> None:
    """Call `ended` until it returns True, with pauses that grow from 0.1 s to `longest_pause`.

    `timeout` is in seconds if a number; None waits for ever. `timed_out` makes the error from the
    timeout in seconds.

    Raises: WaitTimeout, after `timeout`; InvalidData, unless it is a duration of zero or more.
    """
    seconds = _seconds(timeout)
    deadline = clock.monotonic() + seconds
    pause = _FIRST_PAUSE
    while not ended():
        left = deadline - clock.monotonic()
        if left <= 0:
            raise timed_out(seconds)
        clock.sleep(pause if left == math.inf else min(pause, timedelta(seconds=left)))
        pause = min(pause * _GROWTH, longest_pause)
