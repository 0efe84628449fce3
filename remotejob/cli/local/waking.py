"""Wakes the workers of `remotejob local` within a second of a submission.

In AWS, the scheduler looks once a minute, and the upload function asks it to look at once. A job
that a client submits to a queue without workers waits for the next look. Nobody who develops a task
would wait for that, so here the scheduler is asked for every job.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from remotejob.names import Env, QueueKey, SystemKey

if TYPE_CHECKING:
    from remotejob.local.services import Services

_LOOK_EACH_S: Final = 1.0
_ASK_AGAIN_S: Final = 5.0
"""For a queue whose jobs still wait, until its worker runs or cannot start."""
_LANES: Final = (QueueKey.HIGH, QueueKey.NORMAL, QueueKey.LOW)


class Waking:
    """Asks the scheduler for queues that have visible messages and no worker."""

    def __init__(
        self,
        services: Services,
        lanes: Mapping[str, Iterable[str]],
        *,
        ask: Callable[[list[str]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`lanes` has the names of each queue's lanes; `ask` gets the queues to scale."""
        self._services, self._ask, self._clock = services, ask, clock
        self._lanes = {queue: tuple(names) for queue, names in lanes.items()}
        self._looked = -_LOOK_EACH_S
        self._asked: dict[str, float] = {}

    def check(self, working: Iterable[str]) -> None:
        """Look, unless it was a moment ago; `working` are the queues that have workers."""
        now = self._clock()
        if now - self._looked < _LOOK_EACH_S:
            return
        self._looked = now
        asleep = self._lanes.keys() - set(working)
        if not asleep:
            return
        visible = self._services.messages()
        waiting = [
            queue
            for queue in sorted(asleep)
            if any(visible.get(lane) for lane in self._lanes[queue])
            and now - self._asked.get(queue, -_ASK_AGAIN_S) >= _ASK_AGAIN_S
        ]
        if waiting:
            self._asked.update((queue, now) for queue in waiting)
            self._ask(waiting)


def lanes_of(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the lanes that a worker with these variables polls."""
    described: Mapping[str, Any] = json.loads(environment[Env.SYSTEM])
    queue = described[SystemKey.QUEUES][environment[Env.QUEUE]]
    return tuple(str(queue[key]).rpartition("/")[2] for key in _LANES)
