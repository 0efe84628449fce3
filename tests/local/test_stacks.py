"""Stacks are updated, rolled back and deleted as CloudFormation does it; exports are locked."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from remotejob.local.embedded import EmbeddedAws

Template = dict[str, Any]


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with EmbeddedAws() as embedded:
        yield embedded


class Stack:
    """A stack of a test's own."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.aws = aws
        self.cloudformation = aws.client("cloudformation")
        self.name = f"s-{uuid.uuid4().hex[:8]}"
        self.id = ""

    def create(self, template: Template, **parameters: str) -> None:
        self.id = self.cloudformation.create_stack(**self._request(template, parameters))["StackId"]
        assert self.status == "CREATE_COMPLETE"

    def update(self, template: Template, **parameters: str) -> str:
        self.cloudformation.update_stack(**self._request(template, parameters))
        return self.status

    def delete(self) -> str:
        self.cloudformation.delete_stack(StackName=self.name)
        return self.status

    def _request(self, template: Template, parameters: dict[str, str]) -> dict[str, Any]:
        return {
            "StackName": self.name,
            "TemplateBody": json.dumps(template),
            "Parameters": [
                {"ParameterKey": name, "ParameterValue": value}
                for name, value in parameters.items()
            ],
        }

    @property
    def status(self) -> str:
        return str(self._described["StackStatus"])

    @property
    def outputs(self) -> dict[str, str]:
        return {o["OutputKey"]: o["OutputValue"] for o in self._described.get("Outputs", [])}

    @property
    def _described(self) -> dict[str, Any]:
        [found] = self.cloudformation.describe_stacks(StackName=self.id)["Stacks"]
        return dict(found)

    def physical(self) -> dict[str, str]:
        listed = self.cloudformation.list_stack_resources(StackName=self.name)
        return {
            one["LogicalResourceId"]: one["PhysicalResourceId"]
            for one in listed["StackResourceSummaries"]
        }

    def reasons(self) -> list[str]:
        events = self.cloudformation.describe_stack_events(StackName=self.id)["StackEvents"]
        return [event.get("ResourceStatusReason", "") for event in events]


@pytest.fixture
def stack(aws: EmbeddedAws) -> Stack:
    return Stack(aws)


@pytest.fixture
def other(aws: EmbeddedAws) -> Stack:
    return Stack(aws)


def queue(**properties: Any) -> Template:
    return {"Type": "AWS::SQS::Queue", "Properties": properties}


def kept(resource: Template, **policies: str) -> Template:
    return {**resource, **policies}


def of(**resources: Template) -> Template:
    return {"Resources": resources}


def exporting(name: str, **queues: Template) -> Template:
    return {
        "Resources": queues,
        "Outputs": {
            logical: {"Value": {"Ref": logical}, "Export": {"Name": f"{name}:{logical}"}}
            for logical in queues
        },
    }


def parameter(value: Any) -> Template:
    return {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": value}}


def exists(aws: EmbeddedAws, url: str) -> bool:
    sqs = aws.client("sqs")
    name = url.rpartition("/")[2]
    found = sqs.list_queues(QueueNamePrefix=name).get("QueueUrls", [])
    return any(one.endswith(f"/{name}") for one in found)


def value_of(aws: EmbeddedAws, name: str) -> str:
    return str(aws.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])


def test_export_in_use_can_neither_be_removed_nor_deleted(stack: Stack, other: Stack) -> None:
    stack.create(exporting(stack.name, One=queue(), Two=queue()))
    imported = {"Fn::ImportValue": f"{stack.name}:Two"}
    other.create(of(Text=parameter(imported)))

    assert stack.update(exporting(stack.name, One=queue())) == "UPDATE_ROLLBACK_COMPLETE"
    expected = f"Export {stack.name}:Two cannot be deleted as it is in use by {other.name}"
    assert expected in stack.reasons()
    assert exists(stack.aws, stack.physical()["Two"]), "rolled back"

    assert stack.delete() == "DELETE_FAILED"
    assert stack.reasons().count(expected) >= 2

    assert other.delete() == "DELETE_COMPLETE"
    two = stack.physical()["Two"]
    assert stack.update(exporting(stack.name, One=queue())) == "UPDATE_COMPLETE"
    assert not exists(stack.aws, two)
    one = stack.physical()["One"]
    assert stack.delete() == "DELETE_COMPLETE"
    assert not exists(stack.aws, one), "made again by who described the stack"


def test_export_in_use_keeps_its_value(stack: Stack, other: Stack) -> None:
    exported = {"Value": "one", "Export": {"Name": f"{stack.name}:Value"}}
    template = {**of(Queue=queue()), "Outputs": {"Value": exported}}
    stack.create(template)
    other.create(of(Text=parameter({"Fn::ImportValue": {"Fn::Sub": f"{stack.name}:Value"}})))
    changed = {**template, "Outputs": {"Value": {**exported, "Value": "two"}}}
    assert stack.update(changed) == "UPDATE_ROLLBACK_COMPLETE"
    assert (
        f"Export {stack.name}:Value cannot be updated as it is in use by {other.name}"
        in stack.reasons()
    )


def test_export_that_an_update_adds_can_be_imported(stack: Stack, other: Stack) -> None:
    stack.create(of(One=queue()))
    other.create(of(Text=parameter("none yet")))
    assert stack.update(exporting(stack.name, One=queue(), Two=queue())) == "UPDATE_COMPLETE"
    imported = parameter({"Fn::ImportValue": f"{stack.name}:Two"})
    assert other.update(of(Text=imported)) == "UPDATE_COMPLETE"
    assert value_of(stack.aws, other.physical()["Text"]) == stack.physical()["Two"]


def test_replacement_reaches_what_refers_to_it(stack: Stack) -> None:
    def template(name: str) -> Template:
        return of(Text=parameter({"Ref": "Queue"}), Queue=queue(QueueName=name))

    stack.create(template(f"{stack.name}-one"))
    before = stack.physical()
    assert stack.update(template(f"{stack.name}-two")) == "UPDATE_COMPLETE"
    after = stack.physical()
    assert after["Text"] == before["Text"]
    assert value_of(stack.aws, after["Text"]) == after["Queue"] != before["Queue"]
    assert not exists(stack.aws, before["Queue"])


def test_update_changes_a_queue_in_place_and_leaves_the_others(stack: Stack) -> None:
    stack.create(of(Changed=queue(VisibilityTimeout=10), Other=queue()))
    before = stack.physical()
    stack.update(of(Changed=queue(VisibilityTimeout=20), Other=queue()))
    assert stack.physical() == before
    [timeout] = (
        stack.aws.client("sqs")
        .get_queue_attributes(QueueUrl=before["Changed"], AttributeNames=["VisibilityTimeout"])[
            "Attributes"
        ]
        .values()
    )
    assert timeout == "20"


def test_retained_resources_outlive_removal_replacement_and_the_stack(stack: Stack) -> None:
    retained = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}

    def template(name: str, **more: Template) -> Template:
        return of(Replaced=kept(queue(QueueName=name), **retained), **more)

    stack.create(template(f"{stack.name}-one", Removed=kept(queue(), **retained), Gone=queue()))
    before = stack.physical()
    assert stack.update(template(f"{stack.name}-two")) == "UPDATE_COMPLETE"
    second = stack.physical()["Replaced"]
    assert stack.delete() == "DELETE_COMPLETE"
    left = [before["Replaced"], before["Removed"], second]
    assert all(exists(stack.aws, url) for url in left)
    assert not exists(stack.aws, before["Gone"])


def test_failed_update_is_rolled_back(stack: Stack) -> None:
    stack.create(of(Queue=queue(VisibilityTimeout=10)))
    wrong = of(
        Added=queue(),
        Queue=queue(VisibilityTimeout=20),
        Text=parameter({"Fn::ImportValue": "nowhere"}),
    )
    assert stack.update(wrong) == "UPDATE_ROLLBACK_COMPLETE"
    assert any("No export named nowhere" in reason for reason in stack.reasons())
    assert [*stack.physical()] == ["Queue"]
    [timeout] = (
        stack.aws.client("sqs")
        .get_queue_attributes(
            QueueUrl=stack.physical()["Queue"], AttributeNames=["VisibilityTimeout"]
        )["Attributes"]
        .values()
    )
    assert timeout == "10"


def test_update_without_a_change_is_refused(stack: Stack) -> None:
    stack.create(of(Queue=queue()))
    with pytest.raises(ClientError, match=r"No updates are to be performed\."):
        stack.update(of(Queue=queue()))


def test_parameter_of_the_parameter_store_is_read_at_each_update(stack: Stack) -> None:
    name = f"/{stack.name}/value"
    template = {
        "Parameters": {"Read": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": name}},
        **of(Text=parameter({"Ref": "Read"})),
    }
    put = stack.aws.client("ssm").put_parameter
    put(Name=name, Value="one", Type="String")
    stack.create(template)
    assert value_of(stack.aws, stack.physical()["Text"]) == "one"
    put(Name=name, Value="two", Type="String", Overwrite=True)
    # as the CDK's command line has it: the value until now, which was the default
    stack.cloudformation.update_stack(
        StackName=stack.name,
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": "Read", "UsePreviousValue": True}],
    )
    assert stack.status == "UPDATE_COMPLETE"
    assert value_of(stack.aws, stack.physical()["Text"]) == "two"


def test_dynamic_reference_is_resolved(stack: Stack) -> None:
    name = f"/{stack.name}/value"
    stack.aws.client("ssm").put_parameter(Name=name, Value="one", Type="String")
    stack.create(of(Text=parameter(f"is {{{{resolve:ssm:{name}}}}}!")))
    assert value_of(stack.aws, stack.physical()["Text"]) == "is one!"
    wrong = of(Text=parameter("{{resolve:ssm:/nowhere}}"))
    assert stack.update(wrong) == "UPDATE_ROLLBACK_COMPLETE"
    assert "Parameters: [ssm:/nowhere] cannot be found." in stack.reasons()


def test_bucket_with_objects_stops_the_deletion(stack: Stack) -> None:
    stack.create(of(Bucket={"Type": "AWS::S3::Bucket"}, Queue=queue()))
    bucket = stack.physical()["Bucket"]
    s3 = stack.aws.client("s3")
    s3.put_object(Bucket=bucket, Key="key", Body=b"")
    assert stack.delete() == "DELETE_FAILED"
    assert any("is not empty" in reason for reason in stack.reasons())
    s3.delete_object(Bucket=bucket, Key="key")
    assert stack.delete() == "DELETE_COMPLETE"


def test_protected_stack_is_not_deleted(stack: Stack) -> None:
    stack.id = stack.cloudformation.create_stack(
        StackName=stack.name,
        TemplateBody=json.dumps(of(Queue=queue())),
        EnableTerminationProtection=True,
    )["StackId"]
    with pytest.raises(ClientError, match="TerminationProtection is enabled"):
        stack.delete()
    assert exists(stack.aws, stack.physical()["Queue"])


def test_new_task_definition_reaches_its_service_and_its_count_stays(stack: Stack) -> None:
    def template(image: str) -> Template:
        container = {"Name": "worker", "Image": image, "Memory": 128}
        return of(
            Cluster={"Type": "AWS::ECS::Cluster"},
            Task={
                "Type": "AWS::ECS::TaskDefinition",
                "Properties": {"Family": stack.name, "ContainerDefinitions": [container]},
            },
            Service={
                "Type": "AWS::ECS::Service",
                "Properties": {"Cluster": {"Ref": "Cluster"}, "TaskDefinition": {"Ref": "Task"}},
            },
        )

    stack.create(template("one"))
    ecs, before = stack.aws.client("ecs"), stack.physical()

    def service() -> dict[str, Any]:
        [found] = ecs.describe_services(cluster=before["Cluster"], services=[before["Service"]])[
            "services"
        ]
        return dict(found)

    assert service()["desiredCount"] == 1, "a new service without a count starts one task"
    ecs.update_service(cluster=before["Cluster"], service=before["Service"], desiredCount=3)
    assert stack.update(template("two")) == "UPDATE_COMPLETE"
    assert service()["taskDefinition"] == stack.physical()["Task"] != before["Task"]
    assert service()["desiredCount"] == 3
    assert stack.delete() == "DELETE_COMPLETE"
    assert ecs.list_clusters()["clusterArns"] == []


def test_change_set_creates_and_updates_a_stack_with_its_outputs(stack: Stack) -> None:
    for kind, queues in (
        ("CREATE", {"One": queue()}),
        ("UPDATE", {"One": queue(), "Two": queue()}),
    ):
        made = stack.cloudformation.create_change_set(
            StackName=stack.name,
            ChangeSetName=f"set-{kind.lower()}",
            ChangeSetType=kind,
            TemplateBody=json.dumps(exporting(stack.name, **queues)),
        )
        stack.id = made["StackId"]
        stack.cloudformation.execute_change_set(ChangeSetName=made["Id"])
        assert stack.status == f"{kind}_COMPLETE"
        assert stack.outputs == stack.physical()
    exports = stack.cloudformation.list_exports()["Exports"]
    assert {f"{stack.name}:One", f"{stack.name}:Two"} <= {one["Name"] for one in exports}
