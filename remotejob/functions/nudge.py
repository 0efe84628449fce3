"""Wakes the scheduler for queues whose workers may sleep, so that a new job waits for seconds only.

An upload to a queue that this function has not served for the idle time may find no worker there.
Then, and not otherwise, it asks the scheduler to scale that queue now. If it cannot, the next tick
does it within a minute.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final

from remotejob.names import Env
from remotejob.ports import Clock

log = logging.getLogger(__name__)

APART: Final = timedelta(seconds=5)
"""The least time between two nudges of one function instance."""

_ANSWERS_WITHIN_S: Final = 2


class Nudge:
    """Remembers which queues were served lately; one for each function instance."""

    def __init__(self, idle: Mapping[str, timedelta], *, clock: Clock) -> None:
        """`idle`: how long the last worker of each queue waits for another job; queues that are
        not named have no workers to wake."""
        self._idle = idle
        self._clock = clock
        self._served: dict[str, float] = {}
        self._nudged: float | None = None
        self._lambda: Any = None
        self._lock = threading.Lock()

    def served(self, queues: Iterable[str]) -> tuple[str, ...]:
        """Note that jobs were made for these queues, and nudge for those that may sleep.

        Returns: the queues it nudged for. It raises nothing: the jobs are made.
        """
        with self._lock:
            now = self._clock.monotonic()
            asleep = tuple(
                queue
                for queue in dict.fromkeys(queues)
                if queue in self._idle
                and now - self._served.get(queue, float("-inf"))
                >= self._idle[queue].total_seconds()
            )
            function = os.environ.get(Env.SCHEDULER)
            too_soon = self._nudged is not None and now - self._nudged < APART.total_seconds()
            if not asleep or not function or too_soon:
                # those stay unserved: the next upload nudges for them
                self._served.update((queue, now) for queue in queues if queue not in asleep)
                return ()
            self._served.update((queue, now) for queue in queues)
            self._nudged = now
        try:
            self._invoke(function, asleep)
        except Exception as problem:  # noqa: BLE001 (the next tick scales them)
            log.warning("the scheduler was not woken: %s: %s", type(problem).__name__, problem)
            return ()
        return asleep

    def _invoke(self, function: str, queues: tuple[str, ...]) -> None:
        """Source: AWS Lambda API Reference, Invoke, InvocationType Event."""
        if self._lambda is None:
            self._lambda = new_client()
        self._lambda.invoke(
            FunctionName=function,
            InvocationType="Event",
            Payload=json.dumps({"do": "scale", "queues": list(queues)}).encode(),
        )


def new_client() -> Any:
    """A client for Lambda that gives up soon."""
    # the import takes long, and a busy function never nudges
    import boto3
    from botocore.config import Config

    return boto3.client(
        "lambda",
        config=Config(
            connect_timeout=_ANSWERS_WITHIN_S,
            read_timeout=_ANSWERS_WITHIN_S,
            retries={"mode": "standard", "max_attempts": 1},
        ),
    )
