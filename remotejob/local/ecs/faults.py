"""What can go wrong when ECS starts a task, as a test injects it, in ECS's words.

Sources: Amazon ECS Developer Guide, "Amazon ECS service event messages", "Amazon ECS stopped task
error messages", "CannotPullContainer task errors".
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class StartFault(StrEnum):
    """Why tasks do not start. A role that ECS may not assume needs none: take its trust away."""

    IMAGE_PULL = "image-pull"
    """The image is not in its registry."""
    NO_CAPACITY = "no-capacity"
    """AWS has no room for any task."""
    NO_SPOT_CAPACITY = "no-spot-capacity"
    """AWS has no room for tasks on FARGATE_SPOT; tasks on FARGATE start."""
    QUOTA = "quota"
    """The account runs as many vCPUs as it may."""
    EXITS_AT_ONCE = "exits-at-once"
    """The container's program ends with status 1."""


SPOT: Final = "FARGATE_SPOT"
EXITING_COMMAND: Final = ("sh", "-c", "exit 1")

_NO_ROOM: Final = (
    "Capacity is unavailable at this time. Please try again later or in a different availability"
    " zone"
)
_QUOTA: Final = "You've reached the limit on the number of vCPUs you can run concurrently"


def unplaced(fault: StartFault | None, provider: str) -> str | None:
    """Why ECS cannot place a task with this capacity provider; None if it can."""
    match fault:
        case StartFault.NO_CAPACITY:
            return _NO_ROOM
        case StartFault.NO_SPOT_CAPACITY if provider == SPOT:
            return _NO_ROOM
        case StartFault.QUOTA:
            return _QUOTA
    return None


def not_pulled(image: str) -> str:
    """The reason of a task whose image is not there."""
    return (
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to"
        f" resolve ref {image}: {image}: not found"
    )


def not_assumed(role_arn: str) -> str:
    """Why no task is launched when ECS may not assume its role."""
    return (
        f"ECS was unable to assume the role '{role_arn}' that was provided for this task. Please"
        " verify that the role being passed has the proper trust relationship and permissions and"
        " that your IAM user has permissions to pass this role."
    )


def not_initialized(problem: str) -> str:
    """The reason of a task whose secrets the execution role cannot read."""
    return (
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource"
        f" retrieval failed: unable to retrieve secrets: {problem}"
    )
