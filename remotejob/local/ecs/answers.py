"""What the API says of services and tasks.

Source: Amazon ECS API Reference, "Service", "Deployment", "Task", "Container".
"""

from __future__ import annotations

from typing import Any

from remotejob.local.ecs.service import Configuration, Deployment, Service, Status, Task


def service_attributes(service: Service) -> dict[str, Any]:
    """The attributes of moto's service that the scheduler knows better."""
    configuration = service.primary.configuration
    return {
        "desired_count": service.desired,
        "running_count": service.count(Status.RUNNING),
        "pending_count": service.count(Status.PENDING),
        "task_definition": configuration.task_definition,
        "capacity_provider_strategy": _strategy(configuration),
        "deployment_configuration": {
            "minimumHealthyPercent": configuration.min_healthy_percent,
            "maximumPercent": configuration.max_percent,
            "deploymentCircuitBreaker": {
                "enable": configuration.breaks,
                "rollback": configuration.rolls_back,
            },
        },
        "deployments": [_deployment(service, one) for one in service.deployments],
        "events": [
            {"id": event.id, "createdAt": event.at, "message": event.message}
            for event in service.events
        ],
    }


def task(service: Service, found: Task, container: dict[str, Any], sizes: Any) -> dict[str, Any]:
    """A task, with its one container; `sizes` has `cpu` and `memory`."""
    described = {
        "taskArn": found.arn,
        "clusterArn": (f"arn:aws:ecs:{service.region}:{service.account}:cluster/{service.cluster}"),
        "taskDefinitionArn": found.deployment.configuration.task_definition,
        "group": f"service:{service.name}",
        "startedBy": found.deployment.id,
        "capacityProviderName": found.provider,
        "launchType": "FARGATE",
        "lastStatus": found.status.value,
        "desiredStatus": "RUNNING" if found.is_wanted else "STOPPED",
        "cpu": sizes.cpu,
        "memory": sizes.memory,
        "createdAt": found.created_at,
        "startedAt": found.started_at,
        "stoppingAt": found.stopping_at,
        "stoppedAt": found.stopped_at,
        "stopCode": found.stop_code.value if found.stop_code else None,
        "stoppedReason": found.reason or None,
        "containers": [
            {
                "containerArn": f"{found.arn.replace(':task/', ':container/')}/{found.id}",
                "taskArn": found.arn,
                "name": container.get("name"),
                "image": container.get("image"),
                "lastStatus": (
                    Status.RUNNING if found.status is Status.STOPPING else found.status
                ).value,
                "exitCode": found.exit_code,
                "reason": found.container_reason or None,
            }
        ],
    }
    described["containers"] = [_told(one) for one in described["containers"]]
    return _told(described)


def protection(found: Task) -> dict[str, Any]:
    """How far a task is protected."""
    enabled = found.protected_until is not None
    return _told(
        {
            "taskArn": found.arn,
            "protectionEnabled": enabled,
            "expirationDate": found.protection_ends if enabled else None,
        }
    )


def _deployment(service: Service, found: Deployment) -> dict[str, Any]:
    is_primary = found is service.primary
    return {
        "id": found.id,
        "status": "PRIMARY" if is_primary else "ACTIVE",
        "taskDefinition": found.configuration.task_definition,
        "desiredCount": service.desired if is_primary else 0,
        "runningCount": service.count(Status.RUNNING, found),
        "pendingCount": service.count(Status.PENDING, found),
        "failedTasks": found.failed_tasks,
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
        "capacityProviderStrategy": _strategy(found.configuration),
        "rolloutState": found.rollout.value,
        "rolloutStateReason": found.rollout_reason,
    }


def _strategy(configuration: Configuration) -> list[dict[str, Any]]:
    return [
        {"capacityProvider": one.name, "weight": one.weight, "base": one.base}
        for one in configuration.providers
    ]


def _told(described: dict[str, Any]) -> dict[str, Any]:
    """Without what there is not yet."""
    return {name: value for name, value in described.items() if value is not None}
