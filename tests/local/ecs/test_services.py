"""Services of an embedded AWS that obeys their counts: real processes, asked about by its API."""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from remotejob.local.ecs.faults import StartFault
from remotejob.local.embedded import EmbeddedAws
from remotejob.local.services import Counts

PATIENCE_S = 30
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "ecs-tasks.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
PROTECTS = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "ecs:UpdateTaskProtection", "Resource": "*"}],
}
WAITS = "import signal; signal.pause()"
PROTECTED = f"""
import json, os, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
request = urllib.request.Request(
    os.environ["ECS_AGENT_URI"] + "/task-protection/v1/state",
    data=json.dumps({{"ProtectionEnabled": True, "ExpiresInMinutes": 60}}).encode(),
    method="PUT",
)
print(opener.open(request).read().decode(), flush=True)
{WAITS}
"""


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with EmbeddedAws(counts=Counts.OBEYED) as embedded:
        embedded.client("ecs").create_cluster(clusterName="cluster")
        iam = embedded.client("iam")
        iam.create_role(RoleName="task", AssumeRolePolicyDocument=json.dumps(TRUST))
        iam.put_role_policy(
            RoleName="task", PolicyName="protects", PolicyDocument=json.dumps(PROTECTS)
        )
        embedded.services.go()
        yield embedded


def until(find: Callable[[], Any], what: str) -> Any:
    """What is found at last."""
    end = time.monotonic() + PATIENCE_S
    while not (found := find()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.02)
    return found


class Made:
    """A service of a test's own."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.ecs = aws.client("ecs")
        self.aws = aws
        self.name = f"s-{uuid.uuid4().hex[:8]}"

    def create(self, program: str = WAITS, desired: int = 1) -> None:
        self.ecs.create_service(
            cluster="cluster",
            serviceName=self.name,
            taskDefinition=self.define(program),
            desiredCount=desired,
            capacityProviderStrategy=[{"capacityProvider": "FARGATE", "weight": 1}],
            deploymentConfiguration={
                "minimumHealthyPercent": 100,
                "maximumPercent": 200,
                "deploymentCircuitBreaker": {"enable": True, "rollback": True},
            },
        )

    def define(self, program: str) -> str:
        made = self.ecs.register_task_definition(
            family=self.name,
            taskRoleArn="arn:aws:iam::123456789012:role/task",
            requiresCompatibilities=["FARGATE"],
            cpu="256",
            memory="512",
            containerDefinitions=[
                {
                    "name": "worker",
                    "image": "registry/worker:1",
                    "command": [sys.executable, "-c", program],
                    "stopTimeout": 5,
                }
            ],
        )
        return str(made["taskDefinition"]["taskDefinitionArn"])

    def update(self, **changes: Any) -> None:
        self.ecs.update_service(cluster="cluster", service=self.name, **changes)

    def describe(self) -> dict[str, Any]:
        [found] = self.ecs.describe_services(cluster="cluster", services=[self.name])["services"]
        return dict(found)

    def tasks(self, status: str = "RUNNING") -> list[dict[str, Any]]:
        arns = self.ecs.list_tasks(cluster="cluster", serviceName=self.name, desiredStatus=status)[
            "taskArns"
        ]
        if not arns:
            return []
        found = self.ecs.describe_tasks(cluster="cluster", tasks=arns)["tasks"]
        return [*found]

    def runs(self, number: int) -> dict[str, Any]:
        """Wait until so many tasks run."""

        def found() -> dict[str, Any] | None:
            service = self.describe()
            counts = (service["runningCount"], service["pendingCount"])
            return service if counts == (number, 0) and len(self.tasks()) == number else None

        service: dict[str, Any] = until(found, f"{number} running tasks")
        return service

    def stopped(self) -> dict[str, Any]:
        """Wait until a task has stopped."""
        stopped: list[dict[str, Any]] = until(
            lambda: [t for t in self.tasks("STOPPED") if t["lastStatus"] == "STOPPED"],
            "a stopped task",
        )
        return stopped[0]

    def says(self, text: str) -> None:
        """Wait until an event has this text."""
        until(
            lambda: any(text in event["message"] for event in self.describe()["events"]),
            f"the event {text!r}",
        )

    def pids(self) -> list[int]:
        return [
            change.pid
            for change in self.aws.services.changes()
            if change.service == self.name and change.pid is not None
        ]


@pytest.fixture
def service(aws: EmbeddedAws) -> Iterator[Made]:
    made = Made(aws)
    yield made
    aws.services.break_starts(None, made.name)
    made.ecs.delete_service(cluster="cluster", service=made.name, force=True)


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_desired_count_is_obeyed_up_and_down(service: Made) -> None:
    service.create(desired=0)
    assert (service.describe()["runningCount"], service.pids()) == (0, [])
    service.update(desiredCount=2)
    service.runs(2)
    pids = service.pids()
    assert all(lives(pid) for pid in pids)
    assert service.tasks()[0]["lastStatus"] == "RUNNING"
    service.update(desiredCount=0)
    service.runs(0)
    until(lambda: not any(lives(pid) for pid in pids), "the end of both processes")
    stopped = service.stopped()
    assert stopped["stopCode"] == "ServiceSchedulerInitiated"
    assert stopped["stoppedReason"].startswith("Scaling activity initiated by (deployment ecs-svc/")
    assert stopped["containers"][0]["exitCode"] == 143
    service.says(f"(service {service.name}) has reached a steady state.")


@pytest.mark.exhaustive
def test_program_that_exits_at_once_is_restarted_until_the_circuit_breaks(service: Made) -> None:
    service.aws.services.break_starts(StartFault.EXITS_AT_ONCE, service.name)
    service.create()
    stopped = service.stopped()
    assert stopped["stopCode"] == "EssentialContainerExited"
    assert stopped["stoppedReason"] == "Essential container in task exited"
    assert stopped["containers"][0]["exitCode"] == 1
    service.says("deployment failed: tasks failed to start.")
    [deployment] = service.describe()["deployments"]
    assert (deployment["rolloutState"], deployment["failedTasks"]) == ("FAILED", 3)


def test_image_that_cannot_be_pulled_is_said_of_the_task(service: Made) -> None:
    service.aws.services.break_starts(StartFault.IMAGE_PULL, service.name)
    service.create()
    stopped = service.stopped()
    assert stopped["stopCode"] == "TaskFailedToStart"
    assert stopped["stoppedReason"].startswith("CannotPullContainerError: ")
    assert "registry/worker:1" in stopped["containers"][0]["reason"]


def test_role_that_ecs_may_not_assume_starts_nothing(service: Made) -> None:
    iam = service.aws.client("iam")
    others = json.dumps(TRUST).replace("ecs-tasks", "lambda")
    iam.update_assume_role_policy(RoleName="task", PolicyDocument=others)
    try:
        service.create()
        service.says("ECS was unable to assume the role 'arn:aws:iam::123456789012:role/task'")
    finally:
        iam.update_assume_role_policy(RoleName="task", PolicyDocument=json.dumps(TRUST))
    service.runs(1)


def test_worker_protects_itself_through_the_agent(service: Made) -> None:
    service.create(program=PROTECTED)
    service.runs(1)
    [task] = service.tasks()

    def protection() -> dict[str, Any]:
        [found] = service.ecs.get_task_protection(cluster="cluster", tasks=[task["taskArn"]])[
            "protectedTasks"
        ]
        return dict(found)

    until(lambda: protection()["protectionEnabled"], "the protection")
    service.update(desiredCount=0)
    service.says("was unable to scale in due to (reason 1 tasks under protection)")
    service.runs(1)
    answer = service.ecs.update_task_protection(
        cluster="cluster", tasks=[task["taskArn"], "missing"], protectionEnabled=False
    )
    assert [one["protectionEnabled"] for one in answer["protectedTasks"]] == [False]
    assert answer["failures"] == [{"arn": "missing", "reason": "MISSING"}]
    service.runs(0)


@pytest.mark.exhaustive
def test_new_task_definition_takes_over_and_a_stopped_task_is_replaced(service: Made) -> None:
    service.create()
    service.runs(1)
    [before] = service.tasks()
    second = service.define(f"second = True; {WAITS}")
    service.update(taskDefinition=second)
    until(lambda: service.describe()["taskDefinition"] == second, "the new definition")
    until(
        lambda: [task["taskDefinitionArn"] for task in service.tasks()] == [second],
        "the new version alone",
    )
    [after] = service.tasks()
    assert after["taskArn"] != before["taskArn"]
    service.ecs.stop_task(cluster="cluster", task=after["taskArn"], reason="tried")
    until(
        lambda: [task["taskArn"] for task in service.tasks()] not in ([], [after["taskArn"]]),
        "another task in its place",
    )
    [described] = service.ecs.describe_tasks(cluster="cluster", tasks=[after["taskArn"]])["tasks"]
    assert (described["stopCode"], described["stoppedReason"]) == ("UserInitiated", "tried")


def test_calls_need_their_permissions(service: Made) -> None:
    service.create(desired=0)
    iam = service.aws.client("iam")
    everybody = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
    }
    iam.create_role(RoleName="scaler", AssumeRolePolicyDocument=json.dumps(everybody))
    prefix = "arn:aws:ecs:eu-west-1:123456789012:service/cluster"
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["ecs:DescribeServices", "ecs:UpdateService"],
                "Resource": f"{prefix}/{service.name}",
            }
        ],
    }
    iam.put_role_policy(RoleName="scaler", PolicyName="scales", PolicyDocument=json.dumps(policy))
    ecs = service.aws.client_as("arn:aws:iam::123456789012:role/scaler", "ecs")
    ecs.update_service(cluster="cluster", service=service.name, desiredCount=1)
    service.runs(1)
    with pytest.raises(ClientError, match="AccessDenied"):
        ecs.update_service(cluster="cluster", service="another", desiredCount=1)
    with pytest.raises(ClientError, match="AccessDenied"):
        ecs.list_tasks(cluster="cluster", serviceName=service.name)
    with pytest.raises(ClientError, match="AccessDenied"):
        ecs.describe_services(cluster="cluster", services=[service.name, "another"])


def test_services_are_refused_where_counts_are_ignored() -> None:
    with pytest.raises(RuntimeError, match="desired counts are ignored"):
        _ = EmbeddedAws().services
