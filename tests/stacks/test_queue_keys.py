"""What a queue's keys for real tasks become: variables, secrets, permissions, machine and image."""

from __future__ import annotations

import json
from typing import Any

import pytest

from remotejob import SettingsError
from remotejob.names import Env
from stacks.system import ROOT
from tests.stacks.conftest import Synthesize
from tests.stacks.templates import Resource, System, as_list, texts

DIGEST = "sha256:" + "a" * 64
SECRET_ARN = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod-secret-AbCdEf"
KMS_KEY = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
QUEUES = f"""
[queues.ocr]
tasks = ["ocr"]
ephemeral_storage_gib = 100
architecture = "arm64"
environment = {{ OCR_LANGUAGE = "deu+eng" }}
dockerfile = "tests/stacks/ocr.Dockerfile"

[queues.ocr.secrets]
OCR_KEY = {{ parameter = "/scans/ocr-key" }}
DB_USER = {{ secret = "scans/db", key = "user" }}
DB_PASSWORD = {{ secret = "scans/db", key = "password" }}
PROD = {{ secret = "{SECRET_ARN}", encryption_key = "{KMS_KEY}" }}

[[queues.ocr.permissions]]
actions = ["s3:GetObject", "s3:List*"]
resources = ["arn:aws:s3:::models", "arn:aws:s3:::models/*"]
because = "the models have versions in their keys"

[[queues.ocr.permissions]]
actions = ["sqs:SendMessage"]
resources = ["arn:${{AWS::Partition}}:sqs:${{AWS::Region}}:${{AWS::AccountId}}:orders-*"]
conditions.StringEquals."aws:SourceVpc" = ["vpc-1", "vpc-2"]
because = "a queue for each customer"

[queues.again]
tasks = ["again"]
max_workers = 0
architecture = "arm64"
dockerfile = "tests/stacks/ocr.Dockerfile"

[queues.private]
tasks = ["private"]
image = "444455556666.dkr.ecr.us-east-1.amazonaws.com/team/ocr@{DIGEST}"
"""


@pytest.fixture(scope="module")
def system(synthesize: Synthesize) -> System:
    return synthesize(more=QUEUES)


def task(system: System, queue: str) -> Resource:
    """The task definition of a queue's workers."""
    (found,) = (
        task
        for task in system.resources("AWS::ECS::TaskDefinition")
        if {"Name": Env.QUEUE, "Value": queue} in container(task)["Environment"]
    )
    return found


def container(task: Resource) -> dict[str, Any]:
    (found,) = task.properties["ContainerDefinitions"]
    return dict(found)


def statements(system: System, queue: str, role: str) -> list[dict[str, Any]]:
    (logical_id, _) = task(system, queue).properties[role]["Fn::GetAtt"]
    return system.statements(logical_id)


def allowed(statements: list[dict[str, Any]], service: str) -> list[tuple[list[str], list[str]]]:
    """Actions of a service and their resources, with references written `<name>`."""
    return [
        (actions, ["".join(_flat(resource)) for resource in as_list(statement["Resource"])])
        for statement in statements
        if (actions := as_list(statement["Action"]))[0].startswith(f"{service}:")
    ]


def _flat(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if "Ref" in value:
        return [f"<{value['Ref']}>"]
    return [part for one in value.get("Fn::Join", [None, [str(value)]])[1] for part in _flat(one)]


def test_a_queue_without_the_keys_has_nothing_of_them(system: System) -> None:
    plain = task(system, "default")

    assert "Secrets" not in container(plain)
    assert "EphemeralStorage" not in plain.properties
    assert Env.SECRETS not in {entry["Name"] for entry in container(plain)["Environment"]}
    for role in ("ExecutionRoleArn", "TaskRoleArn"):
        for service in ("ssm", "secretsmanager", "kms"):
            assert not allowed(statements(system, "default", role), service)


def test_variables_are_the_containers(system: System) -> None:
    told = {
        entry["Name"]: entry["Value"] for entry in container(task(system, "ocr"))["Environment"]
    }

    assert told["OCR_LANGUAGE"] == "deu+eng"
    assert told[Env.SECRETS] == "OCR_KEY,DB_USER,DB_PASSWORD,PROD"


def test_secrets_are_named_and_never_read_by_the_template(system: System) -> None:
    found = {
        entry["Name"]: "".join(_flat(entry["ValueFrom"]))
        for entry in container(task(system, "ocr"))["Secrets"]
    }

    here = "<AWS::Region>:<AWS::AccountId>"
    assert found == {
        "OCR_KEY": f"arn:<AWS::Partition>:ssm:{here}:parameter/scans/ocr-key",
        "DB_USER": f"arn:<AWS::Partition>:secretsmanager:{here}:secret:scans/db:user::",
        "DB_PASSWORD": f"arn:<AWS::Partition>:secretsmanager:{here}:secret:scans/db:password::",
        "PROD": SECRET_ARN,
    }
    for part in ("storage", "functions", "workers"):
        assert not any("{{resolve:" in text for text in texts(system.template(part)))


def test_the_agent_may_read_these_secrets_and_no_others(system: System) -> None:
    agent = statements(system, "ocr", "ExecutionRoleArn")
    here = "<AWS::Region>:<AWS::AccountId>"

    assert allowed(agent, "ssm") == [
        (["ssm:GetParameters"], [f"arn:<AWS::Partition>:ssm:{here}:parameter/scans/ocr-key"])
    ]
    assert allowed(agent, "secretsmanager") == [
        (
            ["secretsmanager:GetSecretValue"],
            [SECRET_ARN, f"arn:<AWS::Partition>:secretsmanager:{here}:secret:scans/db-??????"],
        )
    ]
    assert allowed(agent, "kms") == [(["kms:Decrypt"], [KMS_KEY])]


def test_the_task_itself_may_not_read_them(system: System) -> None:
    job = statements(system, "ocr", "TaskRoleArn")
    for service in ("ssm", "secretsmanager", "kms"):
        assert not allowed(job, service)


def test_permissions_are_the_tasks_roles_with_their_conditions(system: System) -> None:
    job = statements(system, "ocr", "TaskRoleArn")

    assert (["s3:GetObject", "s3:List*"], ["arn:aws:s3:::models", "arn:aws:s3:::models/*"]) in (
        allowed(job, "s3")
    )
    (sending,) = (one for one in job if any("orders-*" in text for text in texts(one["Resource"])))
    assert allowed([sending], "sqs") == [
        (
            ["sqs:SendMessage"],
            ["arn:<AWS::Partition>:sqs:<AWS::Region>:<AWS::AccountId>:orders-*"],
        )
    ]
    assert sending["Effect"] == "Allow"
    assert sending["Condition"] == {"StringEquals": {"aws:SourceVpc": ["vpc-1", "vpc-2"]}}


def test_the_roles_of_other_queues_have_none_of_it(system: System) -> None:
    for queue in ("default", "again", "private"):
        told = json.dumps(
            [statements(system, queue, role) for role in ("TaskRoleArn", "ExecutionRoleArn")]
        )
        assert "models" not in told
        assert "scans/" not in told


def test_a_workers_disk_and_processor_are_the_settings(system: System) -> None:
    found = task(system, "ocr").properties

    assert found["EphemeralStorage"] == {"SizeInGiB": 100}
    assert found["RuntimePlatform"] == {
        "CpuArchitecture": "ARM64",
        "OperatingSystemFamily": "LINUX",
    }
    assert task(system, "default").properties["RuntimePlatform"]["CpuArchitecture"] == "X86_64"


def test_queues_that_want_the_same_image_share_it(system: System) -> None:
    assets = json.loads((system.folder / "remotejob-test-workers.assets.json").read_text())[
        "dockerImages"
    ]
    built = sorted(
        (asset["source"]["dockerFile"], asset["source"]["platform"]) for asset in assets.values()
    )
    assert built == [
        ("tests/stacks/ocr.Dockerfile", "linux/arm64"),
        ("worker_container/Dockerfile", "linux/amd64"),
    ]
    for asset in assets.values():
        sent = system.folder / asset["source"]["directory"] / asset["source"]["dockerFile"]
        assert sent.is_file()
    images = [container(task(system, queue))["Image"] for queue in ("ocr", "again")]
    assert images[0] == images[1] != container(task(system, "default"))["Image"]


def test_an_image_of_a_registry_is_pulled_with_the_rights_it_takes(system: System) -> None:
    registry = "444455556666.dkr.ecr.us-east-1.amazonaws.com"

    assert container(task(system, "private"))["Image"] == f"{registry}/team/ocr@{DIGEST}"
    pulls = allowed(statements(system, "private", "ExecutionRoleArn"), "ecr")
    assert (["ecr:GetAuthorizationToken"], ["*"]) in pulls
    assert [resources for actions, resources in pulls if "ecr:BatchGetImage" in actions] == [
        ["arn:<AWS::Partition>:ecr:us-east-1:444455556666:repository/team/ocr"]
    ]


def test_an_image_of_a_public_registry_takes_no_rights(synthesize: Synthesize) -> None:
    more = '[queues.public]\ntasks = ["public"]\nimage = "ghcr.io/team/ocr:1.2"\n'
    system = synthesize(more=more)

    assert container(task(system, "public"))["Image"] == "ghcr.io/team/ocr:1.2"
    assert not allowed(statements(system, "public", "ExecutionRoleArn"), "ecr")


def test_a_queue_whose_workers_are_elsewhere_starts_none(system: System) -> None:
    counts = {
        service.properties["TaskDefinition"]["Ref"]: service.properties.get("DesiredCount")
        for service in system.resources("AWS::ECS::Service")
    }
    assert counts.pop(task(system, "again").id) == 0
    assert set(counts.values()) == {None}


def test_a_dockerfile_that_is_not_there_is_refused(synthesize: Synthesize) -> None:
    more = '[queues.ocr]\ntasks = ["ocr"]\ndockerfile = "images/none"\n'
    with pytest.raises(SettingsError) as refused:
        synthesize(more=more)

    assert str(refused.value) == (
        f"[queues.ocr]: dockerfile = 'images/none': there is no such file in {ROOT}; "
        "give its path from there"
    )
