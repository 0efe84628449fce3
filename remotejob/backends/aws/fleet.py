"""The workers of the queues: services in ECS, which SSM parameters name."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any, Final

from botocore.exceptions import ClientError

from remotejob.backends.aws.account import DEFAULT_POLICY, Account
from remotejob.backends.aws.workers_description import read_workers
from remotejob.domain.fleet import (
    CapacityShare,
    FleetStatus,
    Rollout,
    ServiceEvent,
    StoppedTask,
    WorkersDescription,
)
from remotejob.domain.times import to_ms
from remotejob.names import workers_parameter
from remotejob.ports import Clock, no_workers

KEPT: Final = timedelta(minutes=5)
"""How long descriptions are kept in memory: a deployment of the workers changes them."""

_PARAMETERS_AT_A_TIME: Final = 10
"""Source: AWS Systems Manager API Reference, GetParameters, Names."""

_TASKS_AT_A_TIME: Final = 100
"""Source: Amazon ECS API Reference, DescribeTasks, tasks."""

_BLOCKED: Final = "unable to stop or start tasks during a deployment"
"""Source: Amazon ECS Developer Guide, "Amazon ECS service event messages"."""


class EcsFleet:
    """A `Fleet` on ECS. Thread-safe. Makes no request, and no client, before the first question."""

    def __init__(
        self, account: Account, *, system: str, queues: Collection[str], clock: Clock
    ) -> None:
        self._account = account
        self._system = system
        self._queues = queues
        self._clock = clock
        self._lock = threading.Lock()
        self._read: dict[tuple[str, ...], tuple[float, Mapping[str, WorkersDescription]]] = {}
        """By group of queues: when their descriptions were read, and these."""

    def describe(self, queue: str) -> WorkersDescription | None:
        """Raises: SettingsError, for a description that this version cannot read."""
        with self._lock:
            now, group = self._clock.monotonic(), self._group_of(queue)
            read_at, described = self._read.get(group, (float("-inf"), {}))
            if now - read_at >= KEPT.total_seconds():
                described = self._read_some(group)
                self._read[group] = (now, described)
            return described.get(queue)

    def _group_of(self, queue: str) -> tuple[str, ...]:
        """The queues that one request describes together with this one, so that a question about
        one of fifty queues is one request, and one about all is five."""
        names = sorted({*self._queues, queue})
        start = names.index(queue) // _PARAMETERS_AT_A_TIME * _PARAMETERS_AT_A_TIME
        return tuple(names[start : start + _PARAMETERS_AT_A_TIME])

    def status(self, queue: str) -> FleetStatus | None:
        place = self.describe(queue)
        if place is None:
            return None
        try:
            answer = self._ecs.describe_services(cluster=place.cluster, services=[place.service])
        except ClientError as refusal:
            if refusal.response["Error"]["Code"] == "ClusterNotFoundException":
                return None
            raise
        found = [one for one in answer["services"] if one.get("status") == "ACTIVE"]
        return _status(found[0]) if found else None

    def stopped(self, queue: str) -> tuple[StoppedTask, ...]:
        place = self.describe(queue)
        if place is None:
            return ()
        listed = self._ecs.list_tasks(
            cluster=place.cluster,
            serviceName=place.service,
            desiredStatus="STOPPED",
            maxResults=_TASKS_AT_A_TIME,
        )["taskArns"]
        if not listed:
            return ()
        found = self._ecs.describe_tasks(cluster=place.cluster, tasks=listed)["tasks"]
        tasks = [_stopped(task) for task in found if "stoppedAt" in task]
        return tuple(sorted(tasks, key=lambda task: task.at_ms, reverse=True))

    def set_desired(self, queue: str, count: int) -> None:
        place = self.describe(queue)
        if place is None:
            raise no_workers(queue)
        self._ecs.update_service(cluster=place.cluster, service=place.service, desiredCount=count)

    def set_capacity(self, queue: str, shares: tuple[CapacityShare, ...]) -> None:
        """Source: Amazon ECS API Reference, UpdateService, capacityProviderStrategy: a change needs
        a forced deployment."""
        place = self.describe(queue)
        if place is None:
            raise no_workers(queue)
        self._ecs.update_service(
            cluster=place.cluster,
            service=place.service,
            capacityProviderStrategy=[
                {"capacityProvider": share.provider, "weight": share.weight, "base": share.base}
                for share in shares
            ],
            forceNewDeployment=True,
        )

    def _read_some(self, queues: Sequence[str]) -> dict[str, WorkersDescription]:
        """The descriptions of those of the queues that have workers."""
        names = {workers_parameter(self._system, queue): queue for queue in queues}
        answer = self._ssm.get_parameters(Names=list(names))
        return {
            names[one["Name"]]: read_workers(one["Value"], origin=f"SSM parameter {one['Name']}")
            for one in answer["Parameters"]
        }

    @cached_property
    def _ecs(self) -> Any:
        return self._account.client("ecs", DEFAULT_POLICY)

    @cached_property
    def _ssm(self) -> Any:
        return self._account.client("ssm", DEFAULT_POLICY)


def _status(service: Mapping[str, Any]) -> FleetStatus:
    deployments = service.get("deployments", [])
    primary: Mapping[str, Any] = next(
        (one for one in deployments if one.get("status") == "PRIMARY"), {}
    )
    events = tuple(
        ServiceEvent(at_ms=to_ms(event["createdAt"]), text=event["message"])
        for event in service.get("events", [])
    )
    # a service without the circuit breaker has no state of the rollout
    rollout = Rollout(primary.get("rolloutState", "COMPLETED").lower())
    begun = to_ms(primary["createdAt"]) if "createdAt" in primary else 0
    return FleetStatus(
        desired=service["desiredCount"],
        running=service["runningCount"],
        pending=service["pendingCount"],
        failed_starts=primary.get("failedTasks", 0),
        blocked=rollout is Rollout.IN_PROGRESS
        and any(_BLOCKED in event.text for event in events if event.at_ms >= begun),
        rollout=rollout,
        events=events,
        capacity=tuple(
            CapacityShare(
                provider=one["capacityProvider"],
                weight=one.get("weight", 0),
                base=one.get("base", 0),
            )
            for one in primary.get("capacityProviderStrategy")
            or service.get("capacityProviderStrategy", [])
        ),
        deployed_at_ms=begun,
    )


def _stopped(task: Mapping[str, Any]) -> StoppedTask:
    container: Mapping[str, Any] = next(iter(task.get("containers", [])), {})
    started = task.get("startedAt")
    return StoppedTask(
        id=task["taskArn"].rpartition("/")[2],
        at_ms=to_ms(task["stoppedAt"]),
        reason=task.get("stoppedReason", ""),
        started_at_ms=None if started is None else to_ms(started),
        code=task.get("stopCode", ""),
        exit_code=container.get("exitCode"),
        container_reason=container.get("reason"),
    )
