"""The life of a system under the CDK's own command line: what each step leaves behind.

How the embedded AWS updates stacks is in `remotejob.local.gaps.stack_updates`. `make test-all`
installs the command line first.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from remotejob.local.embedded import EmbeddedAws
from tests.rehearsal.cdk import CDK, Project

pytestmark = pytest.mark.exhaustive


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[EmbeddedAws]:
    assert CDK.exists(), "run `make .tools/cdk/.ready` first"
    with EmbeddedAws(state=tmp_path / "aws") as embedded:
        yield embedded


def test_system_lives_from_bootstrap_to_destroy(aws: EmbeddedAws, tmp_path: Path) -> None:
    project = Project(tmp_path / "project", aws, stage="development")
    project.has_queues(first="")

    project.cdk("bootstrap", "aws://123456789012/eu-west-1")
    cloudformation = aws.client("cloudformation")
    [toolkit] = cloudformation.describe_stacks()["Stacks"]
    assert (toolkit["StackName"], toolkit["StackStatus"]) == ("CDKToolkit", "CREATE_COMPLETE")

    project.deploy()
    assert project.stacks() == dict.fromkeys(("storage", "functions", "workers"), "CREATE_COMPLETE")
    first, table = project.service("first"), project.resources("AWS::DynamoDB::Table")
    lanes = project.lanes()
    assert first["desiredCount"] == 1

    # a setting of the workers: a new task definition, and nothing that holds data is touched
    project.has_queues(first="memory_mib = 4096")
    project.deploy()
    assert project.resources("AWS::DynamoDB::Table") == table
    assert project.lanes() == lanes
    larger = project.service("first")
    assert larger["taskDefinition"] != first["taskDefinition"]
    assert larger["serviceArn"] == first["serviceArn"]
    definition = aws.client("ecs").describe_task_definition(taskDefinition=larger["taskDefinition"])
    assert definition["taskDefinition"]["memory"] == "4096"

    # another queue: all stacks have more, and the first queue is as it was
    project.has_queues(first="memory_mib = 4096", second="")
    project.deploy()
    assert set(project.stacks().values()) == {"UPDATE_COMPLETE"}
    assert project.service("second")["desiredCount"] == 1
    assert project.service("first")["taskDefinition"] == larger["taskDefinition"]
    assert project.resources("AWS::DynamoDB::Table") == table
    both = project.lanes()
    assert lanes.items() <= both.items()
    added = set(both.values()) - set(lanes.values())
    assert added <= project.sqs_queues()

    assert "Number of stacks with differences: 0" in project.cdk("diff", "--all")
    project.has_queues(first="memory_mib = 4096")
    assert "[-] AWS::ECS::Service" in project.cdk("diff", "--all")

    # one queue less, in one deployment
    project.deploy()
    assert set(project.stacks().values()) == {"UPDATE_COMPLETE"}
    assert not added & project.sqs_queues()
    assert set(lanes.values()) <= project.sqs_queues()
    assert project.service("first")["taskDefinition"] == larger["taskDefinition"]
    [*clusters] = aws.client("ecs").list_clusters()["clusterArns"]
    assert len(clusters) == 1

    project.cdk("destroy", "--all", "--force")
    assert project.stacks() == {}
    assert project.sqs_queues() == set()
    assert aws.client("dynamodb").list_tables()["TableNames"] == []
    assert aws.client("ecs").list_clusters()["clusterArns"] == []
    left = [bucket["Name"] for bucket in aws.client("s3").list_buckets()["Buckets"]]
    assert [name for name in left if not name.startswith("cdk-")] == []


def test_production_keeps_what_holds_data(aws: EmbeddedAws, tmp_path: Path) -> None:
    project = Project(tmp_path / "project", aws, stage="production")
    project.has_queues(first="", second="")
    project.cdk("bootstrap", "aws://123456789012/eu-west-1")
    project.deploy()
    queues, table = project.sqs_queues(), project.resources("AWS::DynamoDB::Table")

    project.has_queues(first="")
    project.deploy()
    assert len(project.resources("AWS::ECS::Service")) == 1
    lanes = {name for name in queues if "queuessecond" in name.lower()}
    assert lanes, queues
    assert lanes <= project.sqs_queues(), "a removed queue's messages are promises"

    project.cdk("destroy", "--all", "--force", fails="TerminationProtection")
    assert [*project.stacks()] == ["storage"]
    assert project.resources("AWS::DynamoDB::Table") == table
