"""Start workers from their deployed task definition, without a container.

Source: ECS Developer Guide, "Amazon ECS task definition parameters for Fargate".

Limits: the code runs from this source tree, not from the image. There are no health checks, no
limits of memory, CPU or disk, and no agent endpoint for metadata. Only a service's own tasks have
the agent endpoint for task protection: see `remotejob.local.ecs`.
"""

from __future__ import annotations

import itertools
import os
import signal
import site
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from remotejob.local import injection
from remotejob.local.control import CONTROL_PREFIX, Control
from remotejob.local.deployment import ClientFactory, Deployment
from remotejob.local.errors import NoTaskRole

DEFAULT_COMMAND: Final = (sys.executable, "-m", "remotejob.container")
#: The only variables a worker inherits from our own environment.
_BASE: Final = ("PATH", "LANG", "LC_ALL", "TMPDIR")
_NO_HOME: Final = f"{os.devnull}/home"
"""As in the image: a task's input must not become a file that configures its worker."""
_NUMBERS = itertools.count(1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What ECS would run: the essential container of a deployed task definition."""

    service: str
    family: str
    role_arn: str
    execution_role_arn: str
    environment: Mapping[str, str]
    secrets: Mapping[str, str]
    """Where the agent finds the value of each of these variables."""
    command: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """A worker's process: a child of the server, which ends with it."""

    pid: int
    log: Path
    number: int
    control: Control

    def terminate(self) -> None:
        """Send SIGTERM, as ECS does to stop a task."""
        self.control.post(f"workers/{self.number}/signal", {"signal": int(signal.SIGTERM)})

    def send(self, which: signal.Signals) -> None:
        """Send a signal to the worker's first process."""
        self.control.post(f"workers/{self.number}/signal", {"signal": int(which)})

    def kill(self) -> None:
        """Send SIGKILL to all its processes, as ECS does after the stop timeout."""
        self.control.post(f"workers/{self.number}/signal", {"signal": int(signal.SIGKILL)})

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        code: int | None = self.control.post(f"workers/{self.number}/wait", {"timeout_s": 0})
        return code

    def wait(self, timeout: float = 30) -> int:
        """Wait until it ends; return the exit code.

        Raises: subprocess.TimeoutExpired, after `timeout` seconds.
        """
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            code: int | None = self.control.post(
                f"workers/{self.number}/wait", {"timeout_s": min(left, 20)}, timeout_s=60
            )
            if code is not None:
                return code
        raise subprocess.TimeoutExpired("worker", timeout)


def tasks(deployment: Deployment, client: ClientFactory) -> list[Task]:
    """One task for each deployed ECS service, from its first essential container.

    Raises: NoTaskRole.
    """
    return [_task(r.physical_id, client("ecs")) for r in deployment.all("AWS::ECS::Service")]


def _task(service: str, ecs: Any) -> Task:
    # its ARN names its cluster, and it is found in no other
    cluster = service.split("/")[1]
    found = ecs.describe_services(cluster=cluster, services=[service])["services"]
    if not found:
        raise LookupError(f"cluster {cluster} has no service {service}")
    described = found[0]
    arn = described["taskDefinition"]
    definition = ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]
    return task_of(described["serviceName"], definition)


def task_of(service: str, definition: Mapping[str, Any]) -> Task:
    """The task of a service with this task definition, as the API describes it.

    Raises: NoTaskRole.
    """
    if not definition.get("taskRoleArn"):
        raise NoTaskRole(f"task definition {definition['family']} has no task role; give it one")
    container = essential(definition)
    return Task(
        service=service,
        family=definition["family"],
        role_arn=definition["taskRoleArn"],
        execution_role_arn=definition.get("executionRoleArn", ""),
        environment={e["name"]: str(e["value"]) for e in container.get("environment", [])},
        secrets={e["name"]: str(e["valueFrom"]) for e in container.get("secrets", [])},
        command=(*container.get("entryPoint", ()), *container.get("command", ())),
    )


def essential(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first essential container of a task definition."""
    containers: Sequence[Mapping[str, Any]] = definition["containerDefinitions"]
    return next((c for c in containers if c.get("essential", True)), containers[0])


def start(
    task: Task,
    *,
    control: Control,
    region: str,
    state: Path,
    command: Sequence[str] = DEFAULT_COMMAND,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Worker:
    """Start the process of a task; parameters and errors are those of `program`.

    Raises: ControlError, when the program does not start, either.
    """
    wanted = program(
        task,
        control=control,
        region=region,
        state=state,
        command=command,
        environment=environment,
        directory=directory,
    )
    started = control.post("workers", wanted)
    return Worker(
        pid=started["pid"], log=Path(wanted["log"]), number=started["number"], control=control
    )


def program(
    task: Task,
    *,
    control: Control,
    region: str,
    state: Path,
    command: Sequence[str] = DEFAULT_COMMAND,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> dict[str, Any]:
    """What to run for a task: command, environment, directory and log.

    The task definition's command takes precedence over `command`; `environment` takes precedence
    over the task definition's. Raises: ControlError, when ECS may not assume the role;
    SecretNotRead.
    """
    number = max(next(_NUMBERS), _after_kept(state / "logs"))
    session = f"worker-{os.getpid()}-{number}"
    secrets = injection.read(
        task.secrets,
        role_arn=task.execution_role_arn,
        session=f"agent-{os.getpid()}-{number}",
        control=control,
        region=region,
    )
    granted = control.post("tasks", {"role_arn": task.role_arn, "session": session})
    log = state / "logs" / f"worker-{number}.log"
    # There is no image, so replace its Python with ours.
    wanted = [*(task.command or command)]
    if Path(wanted[0]).name in ("python", "python3"):
        wanted[0] = sys.executable
    return {
        "command": wanted,
        "directory": str(directory or Path.cwd()),
        "log": str(log),
        "environment": {
            **{name: os.environ[name] for name in _BASE if name in os.environ},
            "HOME": _NO_HOME,
            **_user_packages(),
            **task.environment,
            **secrets,
            "AWS_ENDPOINT_URL": control.endpoint_url,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE",
            # The SDK would prefer credentials in the user's home to the container's.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": (
                f"{control.endpoint_url}{CONTROL_PREFIX}{granted['path']}"
            ),
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": granted["token"],
            "PYTHONUNBUFFERED": "1",
            **(environment or {}),
        },
    }


def _after_kept(logs: Path) -> int:
    """The first number after those of logs that are there: each process has a log of its own."""
    used = (path.stem.removeprefix("worker-") for path in logs.glob("worker-*.log"))
    return max((int(number) for number in used if number.isdecimal()), default=0) + 1


def _user_packages() -> dict[str, str]:
    """Where Python finds packages that were installed for this user, which is in the real home."""
    return {"PYTHONUSERBASE": site.getuserbase()} if site.ENABLE_USER_SITE else {}
