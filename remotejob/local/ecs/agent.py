"""The agent's endpoint, by which a worker protects its own task.

Its address holds a token of the task's own, in the place of the container's id.

Source: Amazon ECS Developer Guide, "Amazon ECS task scale-in protection endpoint".
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from remotejob.local.access import identity
from remotejob.local.access.policies import Access, allowed
from remotejob.local.ecs import answers
from remotejob.local.ecs.scheduler import Scheduler
from remotejob.local.ecs.service import Task

PATH: Final = "agent/"
_STATE: Final = "task-protection/v1/state"
DEFAULT_MINUTES: Final = 120
MOST_MINUTES: Final = 2880


def answer(
    scheduler: Scheduler,
    *,
    account: str,
    role_of: Callable[[str], str],
    method: str,
    path: str,
    body: bytes,
) -> tuple[int, Any]:
    """The answer to a request below `PATH`.

    `role_of` gives the ARN of the role of a task definition's tasks.
    """
    token, _, rest = path.removeprefix(PATH).partition("/")
    found = scheduler.task_of_agent(token)
    if found is None or rest != _STATE or method not in ("GET", "PUT"):
        return 404, {"error": {"Code": "NotFoundException", "Message": f"no such address: {rest}"}}
    _, task = found
    operation = "UpdateTaskProtection" if method == "PUT" else "GetTaskProtection"
    role_arn = role_of(task.deployment.configuration.task_definition)
    if not _may(account, role_arn, f"ecs:{operation}", task):
        message = f"The task's role may not call ecs:{operation} on {task.arn}"
        return 400, _error(task, "AccessDeniedException", message)
    if method == "PUT":
        try:
            minutes = asked_minutes(json.loads(body))
        except ValueError as problem:
            return 400, _error(task, "InvalidParameterException", str(problem))
        reason = scheduler.protect(task, minutes)
        if reason is not None:
            return 200, {"failure": {"Arn": task.arn, "Detail": None, "Reason": reason}}
    state = answers.protection(task)
    told = {"TaskArn": state["taskArn"], "ProtectionEnabled": state["protectionEnabled"]}
    ends = state.get("expirationDate")
    told["ExpirationDate"] = ends.strftime("%Y-%m-%dT%H:%M:%SZ") if ends else None
    return 200, {"protection": told}


def asked_minutes(wanted: Any) -> int | None:
    """How long a request wants protection; None for none.

    Raises: ValueError, for a request that is not of its form.
    """
    asked = wanted if isinstance(wanted, dict) else {}
    enabled, minutes = asked.get("ProtectionEnabled"), asked.get("ExpiresInMinutes")
    if enabled not in (True, False):
        raise ValueError("ProtectionEnabled must be true or false")
    span = DEFAULT_MINUTES if minutes is None else minutes
    if span not in range(1, MOST_MINUTES + 1):
        raise ValueError(f"ExpiresInMinutes must be from 1 to {MOST_MINUTES}")
    return span if enabled else None


def _may(account: str, role_arn: str, action: str, task: Task) -> bool:
    documents = identity.policies_of_role(account, role_arn)
    return allowed(documents, Access(action=action, resource=task.arn))


def _error(task: Task, code: str, message: str) -> dict[str, Any]:
    return {"error": {"Arn": task.arn, "Code": code, "Message": message}}
