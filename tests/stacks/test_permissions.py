"""Least privilege: what each role may call, in full, and that it is not more."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from functools import partial
from typing import Any

import pytest

from tests.stacks.conftest import Synthesize
from tests.stacks.templates import System, as_list, description, texts

WORKER = {
    "sqs:ReceiveMessage": "lane-of-QUEUE",
    "sqs:DeleteMessage": "lane-of-QUEUE",
    "sqs:ChangeMessageVisibility": "lane-of-QUEUE",
    "sqs:SendMessage": "dead-letter-of-QUEUE lane-of-QUEUE status-of-QUEUE",
    "dynamodb:BatchGetItem": "Table",
    "dynamodb:ConditionCheckItem": "Table",
    "dynamodb:DeleteItem": "Table",
    "dynamodb:GetItem": "Table",
    "dynamodb:PutItem": "Table",
    "dynamodb:Query": "Table",
    "dynamodb:UpdateItem": "Table",
    "s3:GetObject": (
        "Input/jobs/0* Input/jobs/QUEUE/* Input/jobs/stored/* Input/remotejob-smoke/QUEUE/*"
        " Output/QUEUE/*"
    ),
    "s3:GetObjectVersion": (
        "Input/jobs/0* Input/jobs/QUEUE/* Input/jobs/stored/* Input/remotejob-smoke/QUEUE/*"
    ),
    "s3:ListBucket": "Input",
    "s3:PutObject": "Output/QUEUE/*",
    "s3:AbortMultipartUpload": "Output/QUEUE/*",
    "ecs:UpdateTaskProtection": "tasks of QUEUE's cluster",
}
UPLOADS = {
    "logs:CreateLogStream": "Log",
    "logs:PutLogEvents": "Log",
    "sqs:ReceiveMessage": "Queue",
    "sqs:DeleteMessage": "Queue",
    "sqs:GetQueueAttributes": "Queue",
    "sqs:ChangeMessageVisibility": "Queue",
    "dynamodb:PutItem": "Table",
    "sqs:SendMessage": "lane-of-any unread-uploads-of-any",
    "ssm:GetParameter": "uploads/",
    "ssm:GetParametersByPath": "queues/",
    "lambda:InvokeFunction": "Scheduler",
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
    "sqs:SendMessage": "lane-of-any status-of-any",
    "sqs:GetQueueAttributes": "dead-letter-of-any lane-of-any",
    "sqs:ReceiveMessage": "dead-letter-of-any",
    "sqs:DeleteMessage": "dead-letter-of-any",
    "sqs:ChangeMessageVisibility": "dead-letter-of-any",
    "ssm:GetParametersByPath": "queues/",
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

OBJECTS_ALLOWED = re.compile(
    r"Input/(jobs/(0|default/|video/|stored/)?|remotejob-smoke/(default|video)/)\*|Output/((default|video)/)?\*"
)
"""Wildcards in resources: objects, whose keys cannot be known. Others are the tasks of a worker's
own cluster, and one that stands in `AGENT`."""
ANY_QUEUE = "arn:AWS::Partition:sqs:AWS::Region:AWS::AccountId:*"
SCALING = re.compile(r"SchedulerScales[0-9A-F]{8}")
"""The policy by which the scheduler scales; its resources have a test of their own."""
TASKS_ALLOWED = re.compile(r"tasks of (default|video)'s cluster")


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
            names = queues_of(statement) or {short(r) for r in as_list(statement["Resource"])}
            found.setdefault(action, set()).update(names)
    return {action: " ".join(sorted(names)) for action, names in found.items()}


def queues_of(statement: dict[str, Any]) -> set[str]:
    """The SQS queues that a statement is about, which it tells apart by their tags."""
    if "".join(texts(statement["Resource"])) != ANY_QUEUE:
        return set()
    tags = dict(statement["Condition"]["StringEquals"])
    assert statement["Condition"].keys() == {"StringEquals"}
    assert tags.pop("aws:ResourceTag/remotejob") == "test"
    uses = as_list(tags.pop("aws:ResourceTag/remotejob:use"))
    queue = tags.pop("aws:ResourceTag/remotejob:queue", "any")
    assert not tags
    return {f"{use}-of-{queue}" for use in uses}


def short(resource: Any) -> str:
    """`Queues.default.High` and the like, whether of this stack or imported: the last noun."""
    text = "".join(texts(resource))
    tail = text[text.index("/") :] if "/" in text and "assets" not in text else ""
    nouns = "DeadLetter|High|Low|Normal|Completed|Failed|Table|Input|Output|Queue(?!s)|Log"
    nouns += "|Scheduler"
    if "parameter/remotejob/test/queues" in text:
        return "queues/"
    if text.endswith("parameter/remotejob/test/uploads"):
        return "uploads/"
    if "container-assets" in text:
        return "container-assets"
    tasks = r"arn:AWS::Partition:ecs:AWS::Region:AWS::AccountId:task/Clusters([a-z]+)[0-9A-F]{8}/\*"
    if found := re.fullmatch(tasks, text):
        return f"tasks of {found[1]}'s cluster"
    named = re.findall(nouns, text.removesuffix(tail).replace("ExportsOutput", ""))
    return (named[-1] if named else text) + tail


def test_the_upload_function_may_do_this_and_no_more(system: System) -> None:
    assert calls(system, role_of_function(system, "lambdas.on_upload.handler")) == UPLOADS


def test_the_scheduler_may_do_this_and_no_more(system: System) -> None:
    assert calls(system, role_of_function(system, "lambdas.scheduler.handler")) == SCHEDULER


@pytest.mark.parametrize("queue", ["default", "video"])
def test_a_worker_may_do_this_and_no_more(system: System, queue: str) -> None:
    role = role_of_workers(system, queue, "TaskRoleArn")
    expected = {action: on.replace("QUEUE", queue) for action, on in WORKER.items()}
    assert _words(calls(system, role)) == _words(expected)


def _words(found: dict[str, str]) -> dict[str, list[str]]:
    return {action: sorted(on.split()) for action, on in found.items()}


@pytest.mark.parametrize("queue", ["default", "video"])
def test_the_agent_may_pull_the_image_and_write_the_log(system: System, queue: str) -> None:
    assert calls(system, role_of_workers(system, queue, "ExecutionRoleArn")) == AGENT


@pytest.mark.parametrize(("queue", "other"), [("default", "video"), ("video", "default")])
def test_a_worker_role_names_nothing_of_another_queue(
    system: System, queue: str, other: str
) -> None:
    named: dict[str, list[str]] = {}
    for statement in system.statements(role_of_workers(system, queue, "TaskRoleArn")):
        for action in as_list(statement["Action"]):
            named.setdefault(action, []).extend(texts(statement["Resource"]))
            named[action] += queues_of(statement)
    assert f"lane-of-{queue}" in named["sqs:ReceiveMessage"]
    assert f"lane-of-{queue}" in named["sqs:SendMessage"]
    others = [
        text
        for resources in named.values()
        for text in resources
        if f"Queues{other}" in text
        or f"/{other}/" in text
        or f"Clusters{other}" in text
        or text.endswith((f"-of-{other}", "-of-any"))
    ]
    assert others == []


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
                        or TASKS_ALLOWED.fullmatch(short(resource))
                        or queues_of(statement)
                        or short(resource) == "queues/"
                        or SCALING.fullmatch(policy.id)
                    )


def test_the_scheduler_may_scale_the_services_of_the_workers_stack_alone(system: System) -> None:
    (policy,) = (p for p in system.resources("AWS::IAM::Policy") if SCALING.fullmatch(p.id))
    (role,) = policy.properties["Roles"]
    assert role_of_function(system, "lambdas.scheduler.handler") in "".join(texts(role))
    ours = "remotejob-test-workers-*"
    assert {
        action: (_last(statement["Resource"]), statement.get("Condition"))
        for statement in policy.properties["PolicyDocument"]["Statement"]
        for action in as_list(statement["Action"])
    } == {
        "ssm:GetParameters": ("parameter/remotejob/test/workers/*", None),
        "ecs:DescribeServices": (f"service/{ours}/{ours}", None),
        "ecs:UpdateService": (f"service/{ours}/{ours}", None),
        "ecs:DescribeTasks": (f"task/{ours}/*", None),
        "ecs:ListTasks": ("*", {"ArnLike": {"ecs:cluster": _arn(f"cluster/{ours}")}}),
    }


def _arn(resource: str) -> dict[str, Any]:
    """How a template writes the ARN of something of ECS in the stack's own account and region."""
    parts = ["arn:", {"Ref": "AWS::Partition"}, ":ecs:", {"Ref": "AWS::Region"}, ":"]
    return {"Fn::Join": ["", [*parts, {"Ref": "AWS::AccountId"}, f":{resource}"]]}


def _last(arn: Any) -> str:
    return "".join(texts(arn)).rpartition(":")[2]


def test_limits_need_their_calls_and_nothing_else_does(
    system: System, synthesize: Synthesize
) -> None:
    more = (
        '[queues.dear]\ntasks = ["a"]\ndaily_jobs = 5\n'
        '[[routes]]\ntask = "thumbnail"\nmax_per_minute = 9\n'
    )
    limited = synthesize(more=more)
    role = partial(role_of_workers, limited, key="TaskRoleArn")

    assert _kinds(system, role_of_function(system, "lambdas.on_upload.handler")) == {""}
    assert _kinds(limited, role_of_function(limited, "lambdas.on_upload.handler")) == {"", "rate#*"}
    assert _kinds(system, role_of_function(system, "lambdas.scheduler.handler")) == {""}
    assert _kinds(limited, role_of_function(limited, "lambdas.scheduler.handler")) == {
        "",
        "spent#*",
    }
    assert _kinds(limited, role(queue="dear")) == {"", "spent#dear"}
    assert _kinds(limited, role(queue="default")) == {""}


def _kinds(system: System, role: str) -> set[str]:
    """The patterns of items of limits that a role may touch, and nothing for all others."""
    return {
        pattern if pattern.startswith(("spent#", "rate#")) else ""
        for statement in system.statements(role)
        for pattern in as_list(
            statement.get("Condition", {})
            .get("ForAllValues:StringLike", {})
            .get("dynamodb:LeadingKeys", "")
        )
    }


def test_workers_may_read_the_buckets_that_the_settings_name(synthesize: Synthesize) -> None:
    # the last key of [system] in the settings of these tests
    days = '30\nreadable_buckets = ["another-teams-files"]'
    allowed, usual = synthesize(retention_days=days), synthesize()
    for system, reads in ((allowed, True), (usual, False)):
        (task,) = system.resources("AWS::ECS::TaskDefinition")
        role = task.properties["TaskRoleArn"]["Fn::GetAtt"][0]
        granted: defaultdict[str, str] = defaultdict(str)
        for statement in system.statements(role):
            for action in as_list(statement["Action"]):
                granted[action] += " ".join(texts(statement["Resource"]))
        for action in ("s3:GetObject", "s3:GetObjectVersion"):
            assert (":s3:::another-teams-files/*" in granted[action]) is reads
        assert "another-teams-files" not in granted["s3:PutObject"]
        (container,) = task.properties["ContainerDefinitions"]
        variables = {one["Name"]: one["Value"] for one in container["Environment"]}
        described = description(variables["REMOTEJOB_SYSTEM"], of=system)
        assert described.get("readable_buckets") == (["another-teams-files"] if reads else None)


ROUTES = """
[queues.video]
tasks = ["transcode"]
inputs = ["films/", "50%*/"]

[[routes]]
queue = "default"
prefix = "photos/"
task = "thumbnail"

[[routes]]
queue = "default"
prefix = "what?/"
task = "thumbnail"

[[routes]]
queue = "video"
prefix = "clips/"
task = "transcode"
"""


@pytest.mark.parametrize(
    ("queue", "own"),
    [
        ("default", {"Input/photos/*", "Input/what${?}/*"}),
        ("video", {"Input/films/*", "Input/50%${*}/*", "Input/clips/*"}),
    ],
)
def test_a_worker_reads_what_routes_and_settings_of_its_queue_name(
    synthesize: Synthesize, queue: str, own: set[str]
) -> None:
    system = synthesize(more=ROUTES)
    found = calls(system, role_of_workers(system, queue, "TaskRoleArn"))

    always = {"Input/jobs/0*", f"Input/jobs/{queue}/*", "Input/jobs/stored/*"}
    always |= {f"Input/remotejob-smoke/{queue}/*"}
    assert set(found["s3:GetObjectVersion"].split()) == own | always


@pytest.mark.parametrize(
    "whole", ['[[routes]]\ntask = "thumbnail"', '[queues.all]\ntasks = ["a"]\ninputs = [""]']
)
def test_an_empty_prefix_is_the_whole_bucket(synthesize: Synthesize, whole: str) -> None:
    system = synthesize(more=whole)
    queue = "all" if "queues.all" in whole else "default"
    found = calls(system, role_of_workers(system, queue, "TaskRoleArn"))

    assert found["s3:GetObjectVersion"] == "Input/*"


def test_policies_of_a_role_have_room(synthesize: Synthesize) -> None:
    system = synthesize(more=ROUTES)
    for policy in system.resources("AWS::IAM::Policy"):
        text = json.dumps(policy.properties["PolicyDocument"], separators=(",", ":"))
        assert len(text) < ROOM


ROOM = 10_240
"""Characters of all inline policies of a role. Source: IAM User Guide, "IAM and AWS STS quotas"."""


def test_no_write_of_an_item_is_without_its_partition_keys(system: System) -> None:
    """`dynamodb:LeadingKeys` names the kinds of item; a request that has none is refused."""
    for policy in system.resources("AWS::IAM::Policy"):
        for statement in policy.properties["PolicyDocument"]["Statement"]:
            actions = [a for a in as_list(statement["Action"]) if a.startswith("dynamodb:")]
            if actions and "/index/" not in "".join(texts(statement["Resource"])):
                condition = statement["Condition"]
                keys = condition["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
                assert "*" not in as_list(keys)
                assert condition["Null"]["dynamodb:LeadingKeys"] == "false"
