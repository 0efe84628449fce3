"""Notes where a task stood when its time was over, as the timeout's own traceback does not show it.

The stack becomes a note of the error (PEP 678), which is stored with its traceback.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Coroutine
from itertools import dropwhile
from types import FrameType
from typing import Any

from remotejob.domain.errors import RunInterrupted, TimedOut


def note(reason: RunInterrupted, stack: str | None) -> None:
    """Note where the task stood, if the stack is known and the run timed out. Call this once."""
    if stack and isinstance(reason, TimedOut):
        reason.add_note(f"Its task stood here when it was stopped:\n{stack.rstrip()}")


def of_thread(thread: int, *, above: FrameType, caller: str) -> str | None:
    """The stack of a thread, the most recent call last, from the function that `above` called.

    `caller` is the file whose functions `above` calls it through. None if it has returned from
    there.
    """
    frames = []
    frame = sys._current_frames().get(thread)
    while frame is not above:
        if frame is None:
            return None
        frames.append((frame, frame.f_lineno))
        frame = frame.f_back
    own = dropwhile(lambda one: one[0].f_code.co_filename == caller, reversed(frames))
    return _format(list(own))


def of_coroutine(coroutine: Coroutine[Any, Any, Any]) -> str | None:
    """The stack of a suspended coroutine, through all that it awaits."""
    frames = []
    awaited: Any = coroutine
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            frames.append((frame, frame.f_lineno))
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return _format(frames)


def _format(frames: list[tuple[FrameType, int]]) -> str | None:
    return "".join(traceback.StackSummary.extract(iter(frames)).format()) or None
