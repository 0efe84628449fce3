"""A scheduler whose processes and clock a test holds."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from remotejob.local.ecs.faults import StartFault, not_pulled
from remotejob.local.ecs.scheduler import FailedToStart, Pace, Scheduler
from remotejob.local.ecs.service import Configuration, Rollout, Service, Status, Task

ARN = "arn:aws:ecs:eu-west-1:123456789012:service/cluster/workers"
FIRST = Configuration(task_definition="task:1", breaks=True, rolls_back=True)
SECOND = Configuration(task_definition="task:2", breaks=True, rolls_back=True)
PACE = Pace(settle_s=3, first_wait_s=1, longest_wait_s=30)
STOP_TIMEOUT_S = 120.0


@dataclass
class FakeProcess:
    """It ends when a test says so, or at SIGTERM unless it is busy."""

    pid: int
    is_busy: bool = False
    code: int | None = None
    got: list[int] = field(default_factory=list)
    log: Path = Path("worker.log")

    def poll(self) -> int | None:
        return self.code

    def send(self, which: int) -> None:
        self.got.append(which)
        if which == signal.SIGKILL:
            self.code = -9
        elif not self.is_busy:
            self.code = 0


class Stage:
    """One service, its processes, and the time."""

    def __init__(self, desired: int = 0, configuration: Configuration = FIRST) -> None:
        self.at = 1000.0
        self.processes: list[FakeProcess] = []
        self.untrusted: set[str] = set()
        self.when_launched: Callable[[FakeProcess], Any] = lambda _: None
        self.scheduler = Scheduler(self, monotonic=lambda: self.at, now=self._now, pace=PACE)
        self.scheduler.create(
            ARN,
            name="workers",
            cluster="cluster",
            region="eu-west-1",
            account="123456789012",
            desired=desired,
            configuration=configuration,
        )
        self.scheduler.go()
        self.settle()

    def _now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.at)

    # --- the launcher --------------------------------------------------------------------------

    def unlaunchable(self, task_definition: str) -> str | None:
        return "ECS was unable to assume the role" if task_definition in self.untrusted else None

    def launch(self, service: Service, task: Task, fault: StartFault | None) -> FakeProcess:
        if fault is StartFault.IMAGE_PULL:
            raise FailedToStart(not_pulled("image"))
        process = FakeProcess(pid=len(self.processes))
        if fault is StartFault.EXITS_AT_ONCE:
            process.code = 1
        self.processes.append(process)
        self.when_launched(process)
        return process

    def stop_timeout_s(self, task_definition: str) -> float:
        return STOP_TIMEOUT_S

    # --- what a test does ----------------------------------------------------------------------

    @property
    def service(self) -> Service:
        found = self.scheduler.service(ARN)
        assert found is not None
        return found

    def settle(self) -> None:
        """Let the scheduler do all that is due now."""
        for _ in range(20):
            self.scheduler.step()

    def passes(self, seconds: float) -> None:
        """Let time pass, in steps of a second."""
        for _ in range(int(seconds)):
            self.at += 1
            self.settle()

    def desire(self, count: int) -> None:
        self.scheduler.update(ARN, desired=count)
        self.settle()

    def deploy(self, configuration: Configuration) -> None:
        self.scheduler.update(ARN, configuration=configuration)
        self.settle()

    def break_starts(self, fault: StartFault | None) -> None:
        self.scheduler.break_starts(fault, None)

    def rollout(self) -> Rollout:
        return self.service.primary.rollout

    def running(self) -> list[Task]:
        return [task for task in self.service.live() if task.status is Status.RUNNING]

    def versions(self) -> list[str]:
        """Task definitions of the running tasks."""
        return [task.deployment.configuration.task_definition for task in self.running()]

    def events(self) -> list[str]:
        """The oldest first, without the service's name."""
        return [event.message.partition(") ")[2] for event in reversed(self.service.events)]

    def said(self, text: str) -> bool:
        return any(text in event for event in self.events())
