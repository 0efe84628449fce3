"""Signal handlers that stop this process, and a timer that ends it even if something hangs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import timedelta
from types import FrameType
from typing import Final

from remotejob.domain.urgency import Urgency
from remotejob.worker.lifecycle.shutdown import SIGNALS
from remotejob.worker.runs.surroundings import own_timer

_LAST: Final = 5.0
"""Seconds for the interpreter's own shutdown."""


def stop_on_signals(
    stop: Callable[[Urgency], None], *, grace: timedelta, margin: timedelta
) -> None:
    """Call `stop` with the urgency of a signal, and end the process in time after it.

    NORMAL ends it within `grace` and `margin`, HARD within `margin`; SOFT sets no limit. The kernel
    ends it, by SIGALRM, because no code here could do so reliably.
    """
    # a signal without a handler does not kill the first process of a container
    end = signal.SIG_DFL if os.getpid() != 1 else lambda *_: os._exit(128 + signal.SIGALRM)
    signal.signal(signal.SIGALRM, end)
    requested: Urgency | None = None

    def handle(number: int, _: FrameType | None) -> None:
        nonlocal requested
        urgency = SIGNALS[signal.Signals(number)]
        requested = urgency.after(requested)
        stop(urgency)
        if requested is not Urgency.SOFT:
            end_within(margin if requested is Urgency.HARD else grace + margin)

    for number in SIGNALS:
        signal.signal(number, handle)
    # a process that a task forks is not this one, and ends at a signal as others do
    os.register_at_fork(after_in_child=_end_at_signals)


def _end_at_signals() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def end_within(span: timedelta) -> None:
    """End the process within that time, or earlier if an earlier call said so."""
    own_timer(signal.ITIMER_REAL)
    left, _ = signal.getitimer(signal.ITIMER_REAL)
    seconds = span.total_seconds()
    signal.setitimer(signal.ITIMER_REAL, min(left, seconds) if left else seconds)


def ends() -> None:
    """Ignore further signals, and end the process soon: the work is done."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    end_within(timedelta(seconds=_LAST))
