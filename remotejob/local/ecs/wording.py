"""What ECS says in events and reasons.

Source: Amazon ECS Developer Guide, "Amazon ECS service event messages", "Amazon ECS stopped task
error messages".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from remotejob.local.ecs.service import Deployment, Task

CONTAINER_EXITED: Final = "Essential container in task exited"
STOPPED_BY_USER: Final = "Task stopped by user"
SERVICE_DELETED: Final = "Service is being deleted"
SPOT_INTERRUPTED: Final = "Your Spot Task was interrupted."
STEADY: Final = "has reached a steady state."
INCONSISTENT: Final = (
    "is unable to consistently start tasks successfully. For more information, see the"
    " Troubleshooting section of the Amazon ECS Developer Guide."
)
BLOCKED: Final = (
    "was unable to stop or start tasks during a deployment because of the service deployment"
    " configuration. Update the minimumHealthyPercent or maximumPercent value and try again."
)
"""What protected tasks make of a deployment."""
CIRCUIT_BROKEN: Final = "ECS deployment circuit breaker: tasks failed to start."


def started(tasks: Sequence[Task]) -> str:
    return f"has started {len(tasks)} tasks: {_ids(tasks)}."


def stopped(tasks: Sequence[Task]) -> str:
    return f"has stopped {len(tasks)} running tasks: {_ids(tasks)}."


def scaling(deployment: Deployment) -> str:
    """Why a task stops when there are too many, or another version."""
    return f"Scaling activity initiated by (deployment {deployment.id})"


def unplaced(why: str) -> str:
    return (
        f"was unable to place a task. Reason: {why}. For more information, see the Troubleshooting"
        " section of the Amazon ECS Developer Guide."
    )


def unlaunched(why: str) -> str:
    return f"failed to launch a task with (error {why})."


def kept(number: int) -> str:
    return f"was unable to scale in due to (reason {number} tasks under protection)"


def _ids(tasks: Sequence[Task]) -> str:
    return " ".join(f"(task {task.id})" for task in tasks)
