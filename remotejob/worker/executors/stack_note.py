"""Where a task stands: said of one whose time is over, beside an error that does not tell it.

What is said is a note of the error (PEP 678), so that it is kept with its traceback.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Coroutine
from types import FrameType
from typing import Any

from remotejob.domain.errors import RunInterrupted, TimedOut


def note(reason: RunInterrupted, stack: str | None) -> None:
    """Say of a run whose time is over where its task stood, if that is known. To be called once."""
    if stack and isinstance(reason, TimedOut):
        reason.add_note(f"Its task stood here when it was stopped:\n{stack.rstrip()}")


def of_thread(thread: int, *, above: FrameType) -> str | None:
    """What a thread is at, the most recent call last, from what `above` called on.

    None, where it has returned from there.
    """
    frames = []
    frame = sys._current_frames().get(thread)
    while frame is not above:
        if frame is None:
            return None
        frames.append((frame, frame.f_lineno))
        frame = frame.f_back
    return _written(frames[::-1])


def of_coroutine(coroutine: Coroutine[Any, Any, Any]) -> str | None:
    """What a coroutine that is suspended waits for, through all it awaits."""
    frames = []
    awaited: Any = coroutine
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            frames.append((frame, frame.f_lineno))
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return _written(frames)


def _written(frames: list[tuple[FrameType, int]]) -> str | None:
    return "".join(traceback.StackSummary.extract(iter(frames)).format()) or None
