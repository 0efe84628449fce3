"""How a task becomes a process: from its task definition, as `remotejob.local.workers` says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from moto.ecs.models import TaskDefinition, ecs_backends

from remotejob.local import workers
from remotejob.local.access import identity
from remotejob.local.control import CONTROL_PREFIX, Control
from remotejob.local.ecs import agent, faults
from remotejob.local.ecs.faults import StartFault
from remotejob.local.ecs.scheduler import FailedToStart
from remotejob.local.ecs.service import Service, Task
from remotejob.local.ecs.surroundings import Surroundings
from remotejob.local.errors import LocalError, NotPrivate, SecretNotRead
from remotejob.local.worker_processes import WorkerProcesses

_STOP_TIMEOUT_S: Final = 30.0
"""A container's default. Source: ECS API Reference, "ContainerDefinition"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerProcess:
    """A process of the server's."""

    number: int
    pid: int
    log: Path
    processes: WorkerProcesses

    def poll(self) -> int | None:
        return self.processes.wait(self.number, 0)

    def send(self, which: int) -> None:
        self.processes.signal(self.number, which)


class ProcessLauncher:
    """Starts workers as children of this server."""

    def __init__(
        self,
        processes: WorkerProcesses,
        *,
        control: Control,
        account: str,
        region: str,
        state: Path,
    ) -> None:
        self._processes = processes
        self._control = control
        self._account, self._region = account, region
        self._state = state
        self.surroundings = Surroundings()

    def unlaunchable(self, task_definition: str) -> str | None:
        role = self.role_arn(task_definition)
        if not role or identity.trusts_service(
            self._account,
            role,
            service="ecs-tasks.amazonaws.com",
            on_behalf_of=f"arn:aws:ecs:{self._region}:{self._account}:task/cluster/task",
        ):
            return None
        return faults.not_assumed(role)

    def launch(self, service: Service, task: Task, fault: StartFault | None) -> ServerProcess:
        definition = _described(self._definition(task.deployment.configuration.task_definition))
        if fault is StartFault.IMAGE_PULL:
            image = str(workers.essential(definition).get("image"))
            raise FailedToStart(faults.not_pulled(image))
        try:
            wanted = workers.task_of(service.name, definition)
            if fault is StartFault.EXITS_AT_ONCE:
                wanted = replace(wanted, command=faults.EXITING_COMMAND)
            program = workers.program(
                wanted,
                control=self._control,
                region=self._region,
                state=self._state,
                command=self.surroundings.command,
                directory=self.surroundings.directory,
                environment={**self.surroundings.environment, **self._agent(task)},
            )
            log = Path(program.pop("log"))
            number, pid = self._processes.start(program.pop("command"), log=log, **program)
        except SecretNotRead as problem:
            raise FailedToStart(faults.not_initialized(str(problem))) from None
        except (OSError, NotPrivate, LocalError) as problem:
            raise FailedToStart(f"CannotStartContainerError: {problem}") from None
        return ServerProcess(number=number, pid=pid, log=log, processes=self._processes)

    def stop_timeout_s(self, task_definition: str) -> float:
        container = workers.essential(_described(self._definition(task_definition)))
        return float(container.get("stopTimeout") or _STOP_TIMEOUT_S)

    def role_arn(self, task_definition: str) -> str:
        """The ARN of the role of its tasks; "" if it has none."""
        return str(getattr(self._definition(task_definition), "task_role_arn", None) or "")

    def _agent(self, task: Task) -> dict[str, str]:
        uri = f"{self._control.endpoint_url}{CONTROL_PREFIX}{agent.PATH}{task.agent_token}"
        # a worker reads its task's id in it, and nothing answers there
        metadata = f"{self._control.endpoint_url}/v4/{task.id}-1"
        return {"ECS_AGENT_URI": uri, "ECS_CONTAINER_METADATA_URI_V4": metadata}

    def _definition(self, arn: str) -> TaskDefinition:
        return ecs_backends[self._account][self._region].describe_task_definition(arn)


def _described(definition: TaskDefinition) -> dict[str, Any]:
    """As the API describes it, as far as a start needs it."""
    return {
        "family": definition.family,
        "taskRoleArn": getattr(definition, "task_role_arn", None),
        "executionRoleArn": getattr(definition, "execution_role_arn", None) or "",
        "containerDefinitions": definition.container_definitions,
    }
