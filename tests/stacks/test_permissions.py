"""Least privilege: what each role may call, in full, and that it is not more."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.stacks.conftest import Synthesize
from tests.stacks.templates import System, as_list, texts

WORKER = {
    "sqs:ReceiveMessage": "High Low Normal",
    "sqs:DeleteMessage": "High Low Normal",
    "sqs:ChangeMessageVisibility": "High Low Normal",
    "sqs:SendMessage": "Completed DeadLetter Failed High Low Normal",
    "dynamodb:BatchGetItem": "Table",
    "dynamodb:ConditionCheckItem": "Table",
    "dynamodb:DeleteItem": "Table",
    "dynamodb:GetItem": "Table",
    "dynamodb:PutItem": "Table",
    "dynamodb:Query": "Table",
    "dynamodb:UpdateItem": "Table",
    "s3:GetObject": "Input/* Output/QUEUE/*",
    "s3:GetObjectVersion": "Input/*",
    "s3:ListBucket": "Input",
    "s3:PutObject": "Output/QUEUE/*",
    "s3:AbortMultipartUpload": "Output/QUEUE/*",
    "ecs:GetTaskProtection": "tasks of the cluster",
    "ecs:UpdateTaskProtection": "tasks of the cluster",
}
UPLOADS = {
    "logs:CreateLogStream": "Log",
    "logs:PutLogEvents": "Log",
    "sqs:ReceiveMessage": "Queue",
    "sqs:DeleteMessage": "Queue",
    "sqs:GetQueueAttributes": "Queue",
    "sqs:ChangeMessageVisibility": "Queue",
    "dynamodb:PutItem": "Table",
    "sqs:SendMessage": "High Low Normal",
}
SCHEDULER = {
    "logs:CreateLogStream": "Log",
    "logs:PutLogEvents": "Log",
    "dynamodb:Query": "Table Table/index/attention",
    "dynamodb:BatchGetItem": "Table",
    "dynamodb:ConditionCheckItem": "Table",
    "dynamodb:DeleteItem": "Table",
    "dynamodb:GetItem": "Table",
    "dynamodb:PutItem": "Table",
    "dynamodb:UpdateItem": "Table",
    "sqs:SendMessage": "Completed Failed High Low Normal",
    "sqs:GetQueueAttributes": "High Low Normal",
    "s3:ListBucket": "Input Output",
    "s3:DeleteObject": "Input/jobs/* Output/*",
}
AGENT = {
    "logs:CreateLogStream": "Log",
    "logs:PutLogEvents": "Log",
    "ecr:GetAuthorizationToken": "*",
    "ecr:BatchCheckLayerAvailability": "container-assets",
    "ecr:GetDownloadUrlForLayer": "container-assets",
    "ecr:BatchGetImage": "container-assets",
}

OBJECTS_ALLOWED = re.compile(r"(Input|Output)(/default|/video|/jobs)?/\*")
"""Wildcards in resources: objects, whose keys cannot be known. Others are a worker's own task, and
one that stands in `AGENT`."""


def role_of_function(system: System, handler: str) -> str:
    function = system.resource("AWS::Lambda::Function", Handler=handler)
    return str(function.properties["Role"]["Fn::GetAtt"][0])


def role_of_workers(system: System, queue: str, key: str) -> str:
    for task in system.resources("AWS::ECS::TaskDefinition"):
        (container,) = task.properties["ContainerDefinitions"]
        if {"Name": "REMOTEJOB_QUEUE", "Value": queue} in container["Environment"]:
            return str(task.properties[key]["Fn::GetAtt"][0])
    raise AssertionError(queue)


def calls(system: System, role: str) -> dict[str, str]:
    """Each action, with the short names of what it is allowed on."""
    found: dict[str, set[str]] = {}
    for statement in system.statements(role):
        assert statement["Effect"] == "Allow"
        for action in as_list(statement["Action"]):
            names = {short(r) for r in as_list(statement["Resource"])}
            found.setdefault(action, set()).update(names)
    return {action: " ".join(sorted(names)) for action, names in found.items()}


def short(resource: Any) -> str:
    """`Queues.default.High` and the like, whether of this stack or imported: the last noun."""
    text = "".join(texts(resource))
    tail = text[text.index("/") :] if "/" in text and "assets" not in text else ""
    nouns = "DeadLetter|High|Low|Normal|Completed|Failed|Table|Input|Output|Queue(?!s)|Log"
    if "container-assets" in text:
        return "container-assets"
    if re.fullmatch(r"arn:AWS::Partition:ecs:AWS::Region:AWS::AccountId:task/Cluster\w+/\*", text):
        return "tasks of the cluster"
    found = re.findall(nouns, text.removesuffix(tail).replace("ExportsOutput", ""))
    return (found[-1] if found else text) + tail


def test_the_upload_function_may_do_this_and_no_more(system: System) -> None:
    assert calls(system, role_of_function(system, "lambdas.on_upload.handler")) == UPLOADS


def test_the_scheduler_may_do_this_and_no_more(system: System) -> None:
    assert calls(system, role_of_function(system, "lambdas.scheduler.handler")) == SCHEDULER


@pytest.mark.parametrize("queue", ["default", "video"])
def test_a_worker_may_do_this_and_no_more(system: System, queue: str) -> None:
    role = role_of_workers(system, queue, "TaskRoleArn")
    assert calls(system, role) == {a: r.replace("QUEUE", queue) for a, r in WORKER.items()}


@pytest.mark.parametrize("queue", ["default", "video"])
def test_the_agent_may_pull_the_image_and_write_the_log(system: System, queue: str) -> None:
    assert calls(system, role_of_workers(system, queue, "ExecutionRoleArn")) == AGENT


@pytest.mark.parametrize(("queue", "other"), [("default", "video"), ("video", "default")])
def test_a_worker_takes_nothing_of_another_queue_and_only_sends_to_it(
    system: System, queue: str, other: str
) -> None:
    named: dict[str, list[str]] = {}
    for statement in system.statements(role_of_workers(system, queue, "TaskRoleArn")):
        for action in as_list(statement["Action"]):
            named.setdefault(action, []).extend(texts(statement["Resource"]))
    assert any(f"Queues{queue}" in text for text in named["sqs:ReceiveMessage"])
    stoppable = {
        action
        for action, resources in named.items()
        if [text for text in resources if f"Queues{other}" in text or f"/{other}/" in text]
    }
    assert stoppable == {"sqs:SendMessage"}
    sent_to = [text for text in named["sqs:SendMessage"] if f"Queues{other}" in text]
    assert not [text for text in sent_to if "DeadLetter" in text]


def test_every_role_is_one_of_those(system: System) -> None:
    """Nobody has a role, a managed policy or a policy in the role that is not looked at here."""
    roles = system.resources("AWS::IAM::Role")
    assert len(roles) == 2 + 2 * 2 + 1
    for role in roles:
        assert not role.properties.get("ManagedPolicyArns")
        assert not role.properties.get("Policies")
        (trust,) = role.properties["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] in (
            {"Service": "lambda.amazonaws.com"},
            {"Service": "ecs-tasks.amazonaws.com"},
            {"Service": "vpc-flow-logs.amazonaws.com"},
        )


def test_no_action_is_a_wildcard_and_few_resources_are(system: System) -> None:
    for policy in system.resources("AWS::IAM::Policy"):
        for statement in policy.properties["PolicyDocument"]["Statement"]:
            assert not [a for a in as_list(statement["Action"]) if "*" in a]
            assert "NotAction" not in statement
            for resource in as_list(statement["Resource"]):
                if "*" in "".join(texts(resource)):
                    assert (
                        OBJECTS_ALLOWED.fullmatch(short(resource))
                        or statement["Action"] == "ecr:GetAuthorizationToken"
                        or short(resource) == "tasks of the cluster"
                    )


def test_limits_need_their_calls_and_nothing_else_does(synthesize: Synthesize) -> None:
    more = (
        '[queues.full]\ntasks = ["a"]\nmax_pending = 5\n'
        '[[routes]]\ntask = "thumbnail"\nmax_per_minute = 9\n'
    )
    limited = synthesize(more=more)

    uploads = role_of_function(limited, "lambdas.on_upload.handler")
    assert calls(limited, uploads) == UPLOADS | {"dynamodb:GetItem": "Table"}
    for queue in ("default", "full"):
        found = calls(limited, role_of_workers(limited, queue, "TaskRoleArn"))
        assert found["sqs:GetQueueAttributes"] == "High Low Normal"
