"""The blocking calls of an async job, on threads that no handler can use up or shut down.

This module is imported when a task is async: others do not load asyncio.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Final, ParamSpec, TypeVar

from remotejob.tasks.forked import check_owner

P = ParamSpec("P")
R = TypeVar("R")

_AT_A_TIME: Final = 8
"""Calls of one job. Further ones wait, so one job cannot start threads without end."""


class AsyncCalls:
    """Makes the calls of one job."""

    def __init__(self) -> None:
        self._owner: Final = os.getpid()
        self._turns: Final = asyncio.Semaphore(_AT_A_TIME)

    async def make(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function on another thread, with the caller's context.

        Raises: RemoteJobError, in a forked copy of the process, which has no such thread.
        """
        check_owner(self._owner)
        call = partial(contextvars.copy_context().run, partial(function, *args, **kwargs))
        async with self._turns:
            return await asyncio.wrap_future(_threads(self._owner).submit(call))


@cache
def _threads(process: int) -> ThreadPoolExecutor:  # noqa: ARG001 (a forked server needs its own)
    # it starts a thread only if none is idle; each job limits itself
    return ThreadPoolExecutor(max_workers=10_000, thread_name_prefix="job-call")
