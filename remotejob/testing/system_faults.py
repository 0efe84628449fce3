"""Faults that a test injects into a `JobSystem`: each happens once, where the test says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final, TypeVar

from botocore.exceptions import ConnectionClosedError

from remotejob.domain.argument_checks import check_choice, check_whole
from remotejob.domain.errors import InvalidData, QueueUnavailable, RemoteJobError, StoreUnavailable
from remotejob.domain.times import check_timedelta
from remotejob.testing.observed_run import Moment

T = TypeVar("T")


class Service(StrEnum):
    """A service of AWS that can be unavailable."""

    S3 = "s3"
    DYNAMODB = "dynamodb"
    SQS = "sqs"


_SERVICES: Final = {"files": Service.S3, "store": Service.DYNAMODB, "messages": Service.SQS}
"""By port."""


class FaultNotMet(RemoteJobError):
    """A test ended before a fault that it had injected happened: it has shown nothing."""


class RunFault(StrEnum):
    """What happens to a run, and to its worker."""

    KILL_WORKER = "kill_worker"
    RECLAIM_WORKER = "reclaim_worker"
    LOSE_LEASE = "lose_lease"
    CANCEL_JOB = "cancel_job"


@dataclass(slots=True)
class _Planned:
    fault: RunFault
    at: Moment
    left: int
    """How many more times the moment is reached until it happens."""
    nth: int
    task: str | None

    def __str__(self) -> str:
        of = "" if self.task is None else f", task={self.task!r}"
        return f"{self.fault}(at={self.at.value!r}, nth={self.nth}{of})"


@dataclass(slots=True)
class _Late:
    by: timedelta
    left: int


class SystemFaults:
    """What a test wants to go wrong: `remotejob_system.faults`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[_Planned] = []
        self._outages: dict[Service, int] = {}
        self._late_messages = _Late(timedelta(0), 0)
        self._late_uploads = _Late(timedelta(0), 0)
        self._double_messages = 0
        self._double_uploads = 0

    def kill_worker(
        self, *, at: Moment | str = Moment.END, nth: int = 1, task: str | None = None
    ) -> None:
        """Kill the worker the nth time that a run (of `task`) reaches a moment.

        Nothing about the end of the run is stored. Once its lease has lapsed, the job is claimed
        again, and `job.crashes` is one more.
        """
        self._plan(RunFault.KILL_WORKER, at, nth, task)

    def reclaim_worker(
        self, *, at: Moment | str = Moment.END, nth: int = 1, task: str | None = None
    ) -> None:
        """Stop the worker, as when Fargate Spot takes its capacity back.

        The task's next call of its job raises `WorkerStopping`. The job is given back at once, and
        its run does not count as an attempt.
        """
        self._plan(RunFault.RECLAIM_WORKER, at, nth, task)

    def lose_lease(
        self, *, at: Moment | str = Moment.END, nth: int = 1, task: str | None = None
    ) -> None:
        """Let the worker freeze until its lease has lapsed, and then go on.

        The task's next call of its job raises `LeaseLost`. The job is claimed again, and
        `job.lost_leases` is one more, not `job.crashes`.
        """
        self._plan(RunFault.LOSE_LEASE, at, nth, task)

    def cancel_job(
        self, *, at: Moment | str = Moment.PROGRESS, nth: int = 1, task: str | None = None
    ) -> None:
        """Cancel the job while it runs; the worker notices at its next heartbeat.

        The task's next call of its job raises `JobCancelled`.
        """
        self._plan(RunFault.CANCEL_JOB, at, nth, task)

    def outage(self, service: Service | str, *, calls: int = 1) -> None:
        """Let the next calls of S3, DynamoDB or SQS fail, whoever makes them.

        `service` is "s3", "dynamodb" or "sqs". A call is what the library asks of the service,
        with all the retries of AWS's own client.
        """
        wanted = check_choice("service=", service, Service)
        self._outages[wanted] = check_whole("calls", calls, least=0, most=1_000_000)

    def delay_messages(self, by: timedelta, *, count: int = 1) -> None:
        """Let the next messages of jobs arrive later than they should."""
        self._late_messages = _late(by, count)

    def duplicate_messages(self, count: int = 1) -> None:
        """Let SQS deliver each of the next messages of jobs twice."""
        self._double_messages = check_whole("count", count, least=0, most=1_000_000)

    def delay_uploads(self, by: timedelta, *, count: int = 1) -> None:
        """Let the events of the next uploads arrive later: `upload` returns when they have."""
        self._late_uploads = _late(by, count)

    def duplicate_uploads(self, count: int = 1) -> None:
        """Let S3 deliver the event of each of the next uploads twice."""
        self._double_uploads = check_whole("count", count, least=0, most=1_000_000)

    def check_met(self) -> None:
        """Raises: FaultNotMet, when a run never reached the moment of a fault."""
        if self._planned:
            listed = ", ".join(map(str, self._planned))
            raise FaultNotMet(
                f"{listed} did not happen: no run reached that moment so often; call drain() "
                "after you inject it, or choose another moment"
            )

    def request(self, name: str, arguments: tuple[object, ...], function: Callable[[], T]) -> T:  # noqa: ARG002 (the protocol's)
        """A call of the system's ports, by whomever."""
        service = _SERVICES[name.partition(".")[0]]
        with self._lock:
            left = self._outages.get(service, 0)
            if left:
                self._outages[service] = left - 1
        if left:
            raise _unavailable(service, name)
        return function()

    def _plan(self, fault: RunFault, at: Moment | str, nth: int, task: str | None) -> None:
        moment = check_choice("at=", at, Moment)
        check_whole("nth", nth, least=1, most=1_000_000)
        self._planned.append(_Planned(fault, moment, nth, nth, task))

    def due(self, moment: Moment, *, task: str) -> list[RunFault]:
        """What happens now that a run of a task has reached a moment."""
        reached = [
            planned
            for planned in self._planned
            if planned.at is moment and planned.task in (None, task)
        ]
        for planned in reached:
            planned.left -= 1
        self._planned = [planned for planned in self._planned if planned.left > 0]
        return [planned.fault for planned in reached if planned.left <= 0]

    def message_delivery(self) -> tuple[int, timedelta]:
        """How often the next message is delivered, and how much later."""
        copies = 2 if self._double_messages > 0 else 1
        self._double_messages = max(0, self._double_messages - 1)
        return copies, _lateness(self._late_messages)

    def upload_delivery(self) -> tuple[int, timedelta]:
        """How often the event of the next upload is delivered, and how much later."""
        copies = 2 if self._double_uploads > 0 else 1
        self._double_uploads = max(0, self._double_uploads - 1)
        return copies, _lateness(self._late_uploads)


def _late(by: timedelta, count: int) -> _Late:
    if check_timedelta("by", by) < timedelta(0):
        raise InvalidData(f"by={by}: nothing arrives early; give a timedelta of zero or more")
    return _Late(by, check_whole("count", count, least=0, most=1_000_000))


def _lateness(late: _Late) -> timedelta:
    if late.left == 0:
        return timedelta(0)
    late.left -= 1
    return late.by


def _unavailable(service: Service, name: str) -> Exception:
    """What the library's own ports raise when AWS's client has given up."""
    said = f"{name}: {service} is unavailable, as the test wants it"
    match service:
        case Service.DYNAMODB:
            return StoreUnavailable(said)
        case Service.SQS:
            return QueueUnavailable(said)
        case Service.S3:
            return ConnectionClosedError(endpoint_url="https://s3.invalid", error=said)
