"""The methods of `RemoteJob` that stop and start all its queues."""

from __future__ import annotations

from remotejob.domain.queue_switch import StoppedQueue
from remotejob.jobs.coordination import queue_switch
from remotejob.jobs.messaging.command_events import command
from remotejob.ports import Installation


class SwitchCommands:
    """All queues of a system at once; `Queue.stop` says what that means for one."""

    _installation: Installation

    def stopped(self) -> list[StoppedQueue]:
        """The queues that are stopped, with since when and by whom."""
        found = (queue_switch.stop_of(name, self._installation) for name in self._names())
        return [stopped for stopped in found if stopped is not None]

    @command
    def stop_all(self) -> list[StoppedQueue]:
        """Stop every queue that there is now; see `Queue.stop`.

        Source: job-collection, `stopJobServer`.
        """
        return [queue_switch.stop(name, self._installation) for name in self._names()]

    @command
    def start_all(self) -> None:
        """Start every queue; see `Queue.start`."""
        for name in self._names():
            queue_switch.start(name, self._installation)

    def _names(self) -> tuple[str, ...]:
        return tuple(self._installation.queues)
