"""The services of a server: their scheduler, their agents, and what the control interface does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from moto.sqs.models import sqs_backends

from remotejob.local.control import Control
from remotejob.local.ecs import agent
from remotejob.local.ecs.faults import StartFault
from remotejob.local.ecs.launching import ProcessLauncher
from remotejob.local.ecs.scheduler import Scheduler
from remotejob.local.ecs.surroundings import Surroundings
from remotejob.local.gaps import ecs
from remotejob.local.worker_processes import WorkerProcesses


class Services:
    """Obeys the desired counts of services, from when `services/go` is asked for."""

    def __init__(
        self,
        processes: WorkerProcesses,
        *,
        control: Control,
        account: str,
        region: str,
        state: Path,
    ) -> None:
        self._account, self._region = account, region
        self._launcher = ProcessLauncher(
            processes, control=control, account=account, region=region, state=state
        )
        self._scheduler = Scheduler(self._launcher, monotonic=time.monotonic)
        ecs.obey(self._scheduler)

    def start(self) -> None:
        """Start the thread; no worker starts before it is asked to go."""
        self._scheduler.start()

    def close(self) -> None:
        """Start no worker any more."""
        self._scheduler.close()

    def wake(self) -> None:
        """A process has ended."""
        self._scheduler.wake()

    def has_agent(self, path: str) -> bool:
        """Whether a path is one of the agent's."""
        return path.startswith(agent.PATH)

    def answer_agent(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """The agent's answer to a worker."""
        return agent.answer(
            self._scheduler,
            account=self._account,
            role_of=self._launcher.role_arn,
            method=method,
            path=path,
            body=body,
        )

    def answer(self, method: str, path: str, wanted: Any) -> tuple[int, Any]:
        """The answer to a control request below `services`."""
        match method, path.split("/"):
            case "POST", ["services", "go"]:
                if wanted is not None:
                    self._launcher.surroundings = Surroundings.from_json(wanted)
                self._scheduler.go()
                return 200, {}
            case "POST", ["services", "hold"]:
                return 200, self._scheduler.hold(wanted["hurry_s"], wanted["kill_s"])
            case "POST", ["services", "faults"]:
                fault = StartFault(wanted["fault"]) if wanted["fault"] else None
                self._scheduler.break_starts(fault, wanted["service"])
                return 200, {}
            case "POST", ["services", "interrupt-spot"]:
                return 200, self._scheduler.interrupt_spot()
            case "GET", ["services", "messages"]:
                return 200, self._messages()
            case "GET", ["services", since]:
                return 200, [one.to_json() for one in self._scheduler.changes(int(since))]
        return 404, {"error": f"no such address: {method} {path}"}

    def _messages(self) -> dict[str, int]:
        queues = sqs_backends[self._account][self._region].queues
        return {name: queue.approximate_number_of_messages for name, queue in list(queues.items())}
