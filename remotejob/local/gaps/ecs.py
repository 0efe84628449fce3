"""ECS: desired counts are obeyed, and the API describes the tasks that really run.

What moto does: a service has no tasks, and as many running as were asked for. It has no task
protection.

What AWS does: Amazon ECS API Reference, "UpdateService", "DescribeServices", "ListTasks",
"DescribeTasks", "StopTask", "UpdateTaskProtection", "GetTaskProtection".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.ecs.exceptions import EcsClientException, InvalidParameterException
from moto.ecs.models import EC2ContainerServiceBackend, Service
from moto.ecs.responses import EC2ContainerServiceResponse

from remotejob.local import workers
from remotejob.local.ecs import answers
from remotejob.local.ecs.agent import asked_minutes
from remotejob.local.ecs.scheduler import Scheduler
from remotejob.local.ecs.service import Configuration, Provider, Task
from remotejob.local.ecs.service import Service as Scheduled

_SCHEDULERS: list[Scheduler] = []
"""The one that services are handed to; none if their counts are not obeyed."""


def obey(scheduler: Scheduler) -> None:
    """Hand all services to this scheduler."""
    _SCHEDULERS.append(scheduler)
    _follow_services(scheduler)
    _describe_services(scheduler)
    _describe_tasks(scheduler)
    _protect(scheduler)


def created(service: Service, *, providers: Any, deployment: Any) -> None:
    """Give a new service what moto drops, and hand it to the scheduler."""
    service.capacity_provider_strategy = providers  # type: ignore[attr-defined]
    service.deployment_configuration = deployment  # type: ignore[attr-defined]
    for scheduler in _SCHEDULERS:
        _hand_over(scheduler, service)


def configured(service: Service) -> Configuration:
    """What the scheduler has to know of a service of moto's."""
    told: dict[str, Any] = getattr(service, "deployment_configuration", None) or {}
    breaker = told.get("deploymentCircuitBreaker") or {}
    strategy = getattr(service, "capacity_provider_strategy", None) or []
    providers = tuple(
        Provider(
            name=str(one["capacityProvider"]),
            weight=int(one.get("weight", 0)),
            base=int(one.get("base", 0)),
        )
        for one in strategy
    )
    return Configuration(
        task_definition=str(service.task_definition),
        providers=providers or (Provider(name=service.launch_type or "FARGATE"),),
        min_healthy_percent=int(told.get("minimumHealthyPercent", 100)),
        max_percent=int(told.get("maximumPercent", 200)),
        breaks=bool(breaker.get("enable")),
        rolls_back=bool(breaker.get("rollback")),
    )


def _follow_services(scheduler: Scheduler) -> None:
    backend = EC2ContainerServiceBackend
    stock_update, stock_delete = backend.update_service, backend.delete_service
    stock_answer = EC2ContainerServiceResponse.create_service

    def answer_to_create(self: EC2ContainerServiceResponse) -> ActionResult:
        result = stock_answer(self)
        answer: Any = result.result
        created(
            answer["service"],
            # moto drops both
            providers=self._get_param("capacityProviderStrategy"),
            deployment=self._get_param("deploymentConfiguration"),
        )
        return result

    def update_service(
        self: EC2ContainerServiceBackend, service_properties: dict[str, Any]
    ) -> Service:
        wanted = dict(service_properties)
        count = wanted.pop("desired_count", None)
        if count is not None and count < 0:
            raise InvalidParameterException("Desired count can not be negative.")
        definition = wanted.get("task_definition")
        if definition is not None:
            # a family or a revision of one: the scheduler compares what they mean
            wanted["task_definition"] = self.describe_task_definition(definition).arn
        anew = bool(wanted.get("force_new_deployment"))
        service = stock_update(self, wanted)
        if service.status != "ACTIVE":
            raise EcsClientException("Service was not ACTIVE.")
        scheduler.update(service.arn, desired=count, configuration=configured(service), anew=anew)
        return _refreshed(scheduler, service)

    def delete_service(
        self: EC2ContainerServiceBackend,
        cluster_name: str,
        service_name: str,
        force: bool,  # noqa: FBT001 (moto's own)
    ) -> Service:
        service = stock_delete(self, cluster_name, service_name, force)
        scheduler.delete(service.arn)
        return _refreshed(scheduler, service)

    backend.update_service = update_service  # type: ignore[method-assign]
    backend.delete_service = delete_service  # type: ignore[method-assign]
    EC2ContainerServiceResponse.create_service = answer_to_create  # type: ignore[method-assign]


def _hand_over(scheduler: Scheduler, service: Service) -> None:
    scheduler.create(
        service.arn,
        name=service.name,
        cluster=service.cluster_name,
        region=service.region_name,
        account=service._account_id,
        desired=service.desired_count,
        configuration=configured(service),
    )
    _refreshed(scheduler, service)


def _refreshed(scheduler: Scheduler, service: Service) -> Service:
    with scheduler.look():
        found = scheduler.service(service.arn)
        if found is not None:
            for name, value in answers.service_attributes(found).items():
                setattr(service, name, value)
    return service


def _describe_services(scheduler: Scheduler) -> None:
    stock = EC2ContainerServiceBackend.describe_services

    def describe_services(
        self: EC2ContainerServiceBackend, cluster_str: str, service_names_or_arns: list[str]
    ) -> tuple[list[Service], list[dict[str, str]]]:
        services, failures = stock(self, cluster_str, service_names_or_arns)
        return [_refreshed(scheduler, service) for service in services], failures

    EC2ContainerServiceBackend.describe_services = describe_services  # type: ignore[method-assign]


def _describe_tasks(scheduler: Scheduler) -> None:
    def list_tasks(self: EC2ContainerServiceResponse) -> ActionResult:
        status = self._get_param("desiredStatus", "RUNNING")
        name = (self._get_param("serviceName") or "").rpartition("/")[2]
        family = self._get_param("family")
        cluster = _cluster(self)
        with scheduler.look():
            arns = [
                task.arn
                for service, task in scheduler.tasks()
                if service.cluster == cluster
                and name in ("", service.name)
                and task.is_wanted is (status == "RUNNING")
                and (family is None or f"/{family}:" in _definition(task))
            ]
        return ActionResult({"taskArns": arns})

    def describe_tasks(self: EC2ContainerServiceResponse) -> ActionResult:
        asked = self._get_param("tasks", [])
        found, failures = _find(scheduler, self, asked)
        return ActionResult(
            {"tasks": [_described(self, *one) for one in found], "failures": failures}
        )

    def stop_task(self: EC2ContainerServiceResponse) -> ActionResult:
        asked = self._get_param("task")
        found, failures = _find(scheduler, self, [asked])
        if failures:
            raise InvalidParameterException("The referenced task was not found.")
        scheduler.stop_task(found[0][1], self._get_param("reason") or "")
        return ActionResult({"task": _described(self, *found[0])})

    for replaced in (list_tasks, describe_tasks, stop_task):
        setattr(EC2ContainerServiceResponse, replaced.__name__, replaced)


def _protect(scheduler: Scheduler) -> None:
    def answer(
        self: EC2ContainerServiceResponse, change: Callable[[Task], str | None]
    ) -> ActionResult:
        found, failures = _find(scheduler, self, self._get_param("tasks") or [])
        protected = []
        for _, task in found:
            if (reason := change(task)) is None:
                protected.append(answers.protection(task))
            else:
                failures.append({"arn": task.arn, "reason": reason})
        return ActionResult({"protectedTasks": protected, "failures": failures})

    def update_task_protection(self: EC2ContainerServiceResponse) -> ActionResult:
        wanted = {"ProtectionEnabled": self._get_param("protectionEnabled")}
        if (minutes := self._get_param("expiresInMinutes")) is not None:
            wanted["ExpiresInMinutes"] = minutes
        try:
            span = asked_minutes(wanted)
        except ValueError as problem:
            raise InvalidParameterException(str(problem)) from None
        return answer(self, lambda task: scheduler.protect(task, span))

    def get_task_protection(self: EC2ContainerServiceResponse) -> ActionResult:
        return answer(self, lambda _: None)

    for added in (update_task_protection, get_task_protection):
        setattr(EC2ContainerServiceResponse, added.__name__, added)


def _find(
    scheduler: Scheduler, asking: EC2ContainerServiceResponse, names: list[str]
) -> tuple[list[tuple[Scheduled, Task]], list[dict[str, str]]]:
    """Tasks by id or ARN, and a failure for each that is not there."""
    cluster, ids = _cluster(asking), {name.rpartition("/")[2]: name for name in names}
    with scheduler.look():
        found = [
            (service, task)
            for service, task in scheduler.tasks()
            if service.cluster == cluster and task.id in ids
        ]
    missing = ids.keys() - {task.id for _, task in found}
    return found, [{"arn": ids[one], "reason": "MISSING"} for one in sorted(missing)]


def _cluster(asking: EC2ContainerServiceResponse) -> str:
    """Raises: moto's ClusterNotFoundException."""
    return asking.ecs_backend._get_cluster(asking._get_param("cluster", "default")).name


def _described(
    asking: EC2ContainerServiceResponse, service: Scheduled, task: Task
) -> dict[str, Any]:
    definition = asking.ecs_backend.describe_task_definition(_definition(task))
    container = workers.essential({"containerDefinitions": definition.container_definitions})
    return answers.task(service, task, dict(container), definition)


def _definition(task: Task) -> str:
    return task.deployment.configuration.task_definition
