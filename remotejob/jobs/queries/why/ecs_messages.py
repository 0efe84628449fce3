"""What ECS's messages mean: why tasks of a service do not start, or stopped.

Source: Amazon ECS Developer Guide, "Amazon ECS service event messages", "Amazon ECS stopped tasks
error messages" and "Amazon ECS throttle logic". The texts are for people, so they are compared by
their telling words alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from remotejob.domain.fleet import StoppedTask
from remotejob.jobs.queries.why.reasons import Why

_CRASHES_OF: Final = re.compile("essential container .*exited", re.IGNORECASE)
_KILLED: Final = 137
"""128 and SIGKILL: the kernel's answer to a process beyond its memory limit, among others."""
_CANNOT_START: Final = 2
"""How our own program ends if it cannot start."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EcsTrouble:
    """Why ECS has no worker, in words."""

    code: Why
    meaning: str
    """A clause."""
    remedy: str


def _trouble(code: Why, meaning: str, remedy: str) -> EcsTrouble:
    return EcsTrouble(code=code, meaning=meaning, remedy=remedy)


_ARCHITECTURE: Final = _trouble(
    Why.ARCHITECTURE,
    "the workers' image is for another kind of CPU than the queue's",
    "build the image for the queue's architecture (linux/amd64 or linux/arm64) and deploy",
)
_OUT_OF_MEMORY: Final = _trouble(
    Why.OUT_OF_MEMORY,
    "workers are killed because they need more memory than they have",
    "raise the queue's `memory_mib` in remotejob.toml, or lower `concurrency`, and deploy",
)

_KNOWN: Final = (
    (
        r"descriptor matching platform|exec format error",
        _ARCHITECTURE,
    ),
    (
        r"OutOfMemory|killed due to memory usage",
        _OUT_OF_MEMORY,
    ),
    (
        r"CannotPull(ECR)?Container|pull image manifest|failed to resolve ref",
        _trouble(
            Why.IMAGE_PULL,
            "ECS cannot pull the workers' image",
            "deploy again, so that the image is pushed; check that its tag was not deleted, that "
            "the execution role may read the repository, and that the subnets reach it",
        ),
    ),
    (
        r"(?=.*(secret|ssm|parameter))(?=.*(AccessDenied|not authorized|ResourceNotFound"
        r"|did not contain json key|InvalidParameter|can't find))ResourceInitializationError",
        _trouble(
            Why.SECRET,
            "a secret of the workers cannot be read",
            "check that each of the queue's `secrets` in remotejob.toml exists in this account and "
            "Region, and that its key's policy lets the execution role decrypt it",
        ),
    ),
    (
        r"unable to assume the (service linked )?role|could not be assumed|sts:AssumeRole",
        _trouble(
            Why.ROLE,
            "ECS may not use a role that it needs to start workers",
            "deploy the workers stack again to restore the role and its trust policy; for the "
            "service-linked role: aws iam create-service-linked-role --aws-service-name "
            "ecs.amazonaws.com",
        ),
    ),
    (
        r"failed to validate logger args|initialize logging driver|log group",
        _trouble(
            Why.LOGS,
            "the workers' log group cannot be written to",
            "deploy the workers stack again: it makes the log group and the right to write to it",
        ),
    ),
    (
        r"(?=.*(AccessDenied|not authorized))ResourceInitializationError",
        _trouble(
            Why.ROLE,
            "the execution role does not allow what ECS needs to start workers",
            "deploy the workers stack again to restore the role's policy, and look for a "
            "permissions boundary or an organization's policy that denies it",
        ),
    ),
    (
        r"limit on the number of (vCPUs|tasks)|RESOURCE:FARGATE|vcpu-limit",
        _trouble(
            Why.QUOTA,
            "the account's quota of Fargate vCPUs is used up",
            "ask for a higher quota (Service Quotas, AWS Fargate), or lower the queues' "
            "`max_workers` or `cpu`",
        ),
    ),
    (
        r"InsufficientFreeAddresses|enough free addresses|free IP address",
        _trouble(
            Why.NO_ADDRESSES,
            "the workers' subnets have no free IP address",
            "give the workers larger or more subnets, or end what else uses the addresses",
        ),
    ),
    (
        r"Capacity is unavailable|no Container Instances were found|no container instance met",
        _trouble(
            Why.NO_CAPACITY,
            "AWS has no free machine of the kind that the queue asks for",
            "wait: ECS tries again; if that happens often, lower the queue's Spot share, or let "
            "its workers run in more zones",
        ),
    ),
    (
        r"health check",
        _trouble(
            Why.UNHEALTHY,
            "ECS stopped workers that failed their health check",
            "read the worker's log: its process hangs, or has too little CPU",
        ),
    ),
    (
        r"ResourceInitializationError|network interface|i/o timeout|unable to retrieve ecr|security"
        r" group|subnet",
        _trouble(
            Why.NETWORK,
            "the workers' network does not reach AWS, or cannot be set up",
            "check that the workers' subnets have a route to ECR, S3, CloudWatch Logs and Secrets "
            "Manager: a NAT gateway, a public IP, or endpoints in the VPC",
        ),
    ),
)

_PATTERNS: Final = tuple((re.compile(found, re.IGNORECASE | re.DOTALL), to) for found, to in _KNOWN)


def trouble_in(text: str) -> EcsTrouble | None:
    """The trouble that a message of ECS tells of; None if it tells of none that is known."""
    return next((trouble for pattern, trouble in _PATTERNS if pattern.search(text)), None)


def trouble_of(task: StoppedTask) -> EcsTrouble | None:
    """Why a task stopped, unless somebody asked for it or Spot took the machine back."""
    text = f"{task.reason} {task.container_reason or ''}"
    known = trouble_in(text)
    if known is not None and (known.code is Why.UNHEALTHY or task.code not in _ASKED_FOR):
        return known
    if task.code in _ASKED_FOR:
        return None
    if task.exit_code == _KILLED:
        return _OUT_OF_MEMORY
    if task.exit_code == _CANNOT_START:
        return _trouble(
            Why.CANNOT_START,
            "a worker could not start, and ended with code 2",
            "read the worker's log: its last line says why, and what to do",
        )
    if task.exit_code not in (0, None) or (task.exit_code is None and _CRASHES_OF.search(text)):
        code = "without a code" if task.exit_code is None else f"with code {task.exit_code}"
        return _trouble(
            Why.CRASHED,
            f"workers end by themselves, {code}",
            "read the worker's log; a native library that crashes ends the whole process",
        )
    return None


_ASKED_FOR: Final = frozenset(
    {"ServiceSchedulerInitiated", "UserInitiated", "SpotInterruption", "TerminationNotice"}
)
"""Source: Amazon ECS API Reference, Task, stopCode. A task whose health check failed is stopped by
the scheduler, too, and its reason says so."""
