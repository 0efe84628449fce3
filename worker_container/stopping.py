"""What signals ask of this process, and that it ends in time, whatever hangs in it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import timedelta
from types import FrameType
from typing import Final

from remotejob.domain.urgency import Urgency
from remotejob.worker.lifecycle.shutdown import SIGNALS

_LAST: Final = 5.0
"""Seconds for what runs at the interpreter's end."""


def stop_on_signals(
    stop: Callable[[Urgency], None], *, grace: timedelta, margin: timedelta
) -> None:
    """Have `stop` called with what a signal asks for, and the process out in time after it.

    In time is within `margin`, and before that the `grace` where one is given; softly asked, there
    is no end to it. The kernel sees to it, by SIGALRM, as nothing here can be sure to.
    """
    # the first process of a container is killed by no signal it leaves alone
    out = signal.SIG_DFL if os.getpid() != 1 else lambda *_: os._exit(128 + signal.SIGALRM)
    signal.signal(signal.SIGALRM, out)
    asked: Urgency | None = None

    def handle(number: int, _: FrameType | None) -> None:
        nonlocal asked
        urgency = SIGNALS[signal.Signals(number)]
        asked = urgency.after(asked)
        stop(urgency)
        if asked is not Urgency.SOFT:
            end_within(margin if asked is Urgency.HARD else grace + margin)

    for number in SIGNALS:
        signal.signal(number, handle)


def end_within(span: timedelta) -> None:
    """Have the process out within that time, or earlier where that was said before."""
    left, _ = signal.getitimer(signal.ITIMER_REAL)
    seconds = span.total_seconds()
    signal.setitimer(signal.ITIMER_REAL, min(left, seconds) if left else seconds)


def ends() -> None:
    """The work is done: no signal changes how this ends, and nothing holds it up."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    end_within(timedelta(seconds=_LAST))
