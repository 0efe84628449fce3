"""Poll until a job or a batch has ended."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from remotejob.domain.errors import WaitTimeout
from remotejob.ports import Clock

_FIRST_PAUSE: Final = timedelta(milliseconds=100)
_GROWTH: Final = 1.5


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

    Raises: WaitTimeout, after `timeout`.
    """
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if seconds is None:
        seconds = math.inf
    deadline = clock.monotonic() + seconds
    pause = _FIRST_PAUSE
    while not ended():
        left = deadline - clock.monotonic()
        if left <= 0:
            raise timed_out(seconds)
        clock.sleep(pause if left == math.inf else min(pause, timedelta(seconds=left)))
        pause = min(pause * _GROWTH, longest_pause)
