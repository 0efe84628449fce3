"""What is next for a service: which tasks start and stop, and how its roll-out goes.

No clock, no process: the scheduler carries out what is decided here.

Sources: Amazon ECS Developer Guide, "Deploy Amazon ECS services by replacing tasks", "How the
Amazon ECS deployment circuit breaker detects failures", "Protect your Amazon ECS tasks from being
terminated by scale-in events", "Amazon ECS capacity providers for Fargate workloads".

Limits: which of several unprotected tasks is stopped is not documented; here it is the newest.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from remotejob.local.ecs.service import Configuration, Provider, Rollout, Service, Status, Task


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to do now."""

    starts: int = 0
    stops: tuple[Task, ...] = ()
    kept: int = 0
    """Protected tasks that would be stopped otherwise."""


def plan(service: Service, now: float) -> Plan:
    """The starts and stops that are due."""
    wanted = 0 if service.is_deleted else service.desired
    primary = service.primary
    configuration = primary.configuration
    current = service.live(primary)
    old = [task for task in service.live() if task.deployment is not primary]
    most = max(wanted * configuration.max_percent // 100, wanted)
    starts = 0
    if primary.rollout is not Rollout.FAILED and now >= service.start_at:
        starts = max(0, min(wanted - len(current), most - len(current) - len(old)))
    surplus = max(0, len(current) - wanted)
    least = math.ceil(wanted * configuration.min_healthy_percent / 100)
    ready = sum(task.has_settled for task in current) + sum(
        task.status is Status.RUNNING for task in old
    )
    may_go = max(0, ready - least)
    # one that does not run yet is no loss
    may_go += sum(task.status is not Status.RUNNING for task in old)
    stops = [*_to_stop(current, surplus, now), *_to_stop(old, may_go, now)]
    asked = surplus + min(len(old), may_go)
    return Plan(starts=starts, stops=tuple(stops), kept=asked - len(stops))


def _to_stop(tasks: Sequence[Task], number: int, now: float) -> list[Task]:
    """The tasks to stop: none that is protected; those that do not run yet, then the newest."""
    free = [task for task in reversed(tasks) if not task.is_protected(now)]
    free.sort(key=lambda task: task.status is Status.RUNNING)
    return free[:number]


def has_completed(service: Service) -> bool:
    """Whether the primary deployment runs all its tasks, and no other has any."""
    wanted = 0 if service.is_deleted else service.desired
    live = service.live()
    return (
        len(live) == wanted
        and all(task.deployment is service.primary for task in live)
        and all(task.has_settled for task in live)
    )


def breaks(service: Service) -> bool:
    """Whether the circuit breaker ends the primary deployment.

    Its threshold is half the desired count, but 3 at least and 200 at most.
    """
    primary = service.primary
    threshold = min(max(math.ceil(service.desired / 2), 3), 200)
    return (
        primary.configuration.breaks
        and primary.rollout is Rollout.IN_PROGRESS
        and primary.failed_tasks >= threshold
    )


def next_provider(configuration: Configuration, tasks: Sequence[Task]) -> str:
    """The capacity provider of the next task: bases first, then by weight."""
    placed = Counter(task.provider for task in tasks)

    def above_base(provider: Provider) -> float:
        return max(0, placed[provider.name] - provider.base) / max(provider.weight, 1)

    for provider in configuration.providers:
        if placed[provider.name] < provider.base:
            return provider.name
    weighed = [provider for provider in configuration.providers if provider.weight > 0]
    return min(weighed or configuration.providers[:1], key=above_base).name


def throttle(failures: int, first_s: float, longest_s: float) -> float:
    """How long to wait after that many starts failed in a row.

    ECS waits longer from time to time, up to 27 minutes; by how much is not documented. Source: ECS
    Developer Guide, "Amazon ECS service throttle logic".
    """
    # the exponent is capped: the count may grow large
    return min(first_s * 2.0 ** min(failures - 1, 16), longest_s) if failures else 0.0
