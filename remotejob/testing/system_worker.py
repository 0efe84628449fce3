"""A worker of a system in memory: one job at a time, in the test's thread."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, TypeVar

from remotejob.domain.priority import Lane
from remotejob.ports import Address, Channel, Installation, QueueDescription, Received
from remotejob.tasks.registry import registry
from remotejob.testing.crashes import Crash
from remotejob.testing.interception import intercepted
from remotejob.worker.lifecycle.daily_budget import BudgetWatch
from remotejob.worker.lifecycle.presence import Presence
from remotejob.worker.lifecycle.stopped_queue import SwitchWatch
from remotejob.worker.messages.handler import MessageHandler, ProcessDeath
from remotejob.worker.messages.heartbeats import Heartbeats
from remotejob.worker.messages.settler import Settler
from remotejob.worker.runs.in_flight import InFlight
from remotejob.worker.runs.run import Run

log = logging.getLogger(__name__)

T = TypeVar("T")

_NO_WAIT: Final = timedelta(0)
_PAUSE: Final = timedelta(seconds=1)
"""Until a lane that could not be polled is polled again."""


class SystemWorker:
    """Serves one queue until it dies or is stopped; then another one takes its place."""

    def __init__(
        self,
        installation: Installation,
        queue: QueueDescription,
        *,
        name: str,
        signs: Installation,
        call: Callable[[SystemWorker, Run], Any],
    ) -> None:
        """`signs` is where it shows that it lives: the same system, without faults."""
        self.queue: Final = queue.name
        self.name: Final = name
        self.gone = False
        """Whether it died or was reclaimed."""
        # its role may send to no other queue
        own = replace(installation, sends_to=frozenset({queue.name}))
        self._installation = intercepted(own, self)
        self._dead = False
        self._runs = InFlight()
        self._budget = BudgetWatch(self._installation, queue, concurrency=1)
        self._switch = SwitchWatch(signs, queue.name)
        self._presence = Presence(
            signs,
            worker=name,
            queue=queue.name,
            abilities=queue.tasks,
            concurrency=1,
            running=self._runs.running,
        )
        self._handler = MessageHandler(
            self._installation,
            registry,
            worker=name,
            runs=self._runs,
            call=lambda run: call(self, run),
            on_begun=self._budget.began,
        )
        self._heartbeats = Heartbeats(self._installation, self._handler, self._runs)
        self._settler = Settler(self._installation)

    def request(self, name: str, arguments: tuple[object, ...], function: Callable[[], T]) -> T:  # noqa: ARG002 (the protocol's)
        """A call of its ports: none succeeds once it is dead."""
        if self._dead:
            raise Crash(f"worker {self.name} is dead and cannot call {name}")
        return function()

    def step(self) -> bool:
        """Handle one message, of the highest lane that has any; whether there was one."""
        self.show()
        self._budget.share_if_due(_at_once)
        # each time, where a worker in AWS may take most of a minute: a test need not wait for that
        self._switch.read()
        if self._budget.look() is not None or self._switch.shortage is not None:
            return False
        for lane in Lane:
            try:
                received = self._receive(lane)
            except Exception as problem:  # noqa: BLE001 (as a worker, it tries again later)
                log.warning("lane %s not polled: %s", lane, problem)
                self._installation.clock.sleep(_PAUSE)
                return True
            if received:
                self._handle(received[0])
                return True
        return False

    def show(self) -> None:
        """Give a sign of life, for `why` and `workers`, if it is time for one."""
        self._presence.give_if_due(_at_once)

    def beat(self) -> None:
        """Send the heartbeats that are due, and end runs whose time is over."""
        self.show()
        for settlement in self._heartbeats.beat():
            self._settler.add(settlement)

    def die(self, why: str) -> None:
        """Raises: Crash. From now on, nothing that this worker does has an effect."""
        self._dead = self.gone = True
        raise Crash(f"worker {self.name} died: {why}")

    def _receive(self, lane: Lane) -> list[Received]:
        return self._installation.messages.receive(
            Address(self.queue, Channel(lane.value)),
            # one: others would stay hidden if this worker died
            limit=1,
            wait=_NO_WAIT,
            hidden=self._installation.lease,
        )

    def _handle(self, message: Received) -> None:
        try:
            settlement = self._handler.attend(message)
            if settlement is not None:
                self._settler.add(settlement)
            self._settler.flush()
        except ProcessDeath:
            log.warning("worker %s died", self.name)
        except Exception:
            # as in a worker: the message reappears once its visibility timeout is over
            log.exception("message not handled")


def _at_once(request: Callable[[], None]) -> None:
    request()
