"""Waiting for another process, with an end to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

Found = TypeVar("Found")

NOTED: Final = "REMOTEJOB_TEST_NOTED"
"""Where `tests.end_to_end.noting`, imported by a worker, notes what its hooks were told."""

TRACED: Final = "REMOTEJOB_TEST_TRACED"
"""The file into which a worker with `tests.end_to_end.traced` for its tasks writes its spans."""

PATIENCE = 60.0
"""Seconds after which something is broken, on the slowest machine."""


def until(look: Callable[[], Found | None], *, what: str) -> Found:
    """What `look` finds, once it finds something.

    Raises: AssertionError, saying what did not come about.
    """
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not seen in {PATIENCE:.0f} s: {what}")
