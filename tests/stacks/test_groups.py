"""The policies of the permission groups, as they are in the template."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from remotejob.cdk.commands import COMMANDS, READ, Group, grants_of
from remotejob.names import Field
from tests.stacks.templates import Resource, System, as_list, texts

ROOM = 6_144
"""Characters, white space not counted. Source: IAM User Guide, "IAM and AWS STS quotas"."""

LONGEST = {"AWS::SQS::Queue": 80, "AWS::S3::Bucket": 63, "AWS::DynamoDB::Table": 255}
WRITES = {"dynamodb:PutItem", "dynamodb:UpdateItem"}

THEIRS = {
    Group.MANAGER: (
        "Job.remove", "Job.pause", "Job.resume", "Job.make_ready", "Job.cancel", "Job.restart",
    ),
    Group.CREATOR: ("Queue.submit", "Job.rerun"),
    Group.WORKER: (
        "Queue.get_work", "TakenJob.log", "TakenJob.progress", "TakenJob.done", "TakenJob.fail",
    ),
}  # fmt: skip
"""`Job.ddpMethodPermissions`, by our names."""


def policy(system: System, group: Group) -> Resource:
    output = system.template("storage")["Outputs"][f"{group.value.title()}Policy"]
    (found,) = (one for one in system.resources() if {"Ref": one.id} == output["Value"])
    assert found.type == "AWS::IAM::ManagedPolicy"
    return found


def statements(system: System, group: Group) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = policy(system, group).properties["PolicyDocument"]["Statement"]
    return found


def actions(system: System, group: Group) -> set[str]:
    return {a for one in statements(system, group) for a in as_list(one["Action"])}


def allowed_on(system: System, group: Group, noun: str) -> set[str]:
    """The actions that are allowed on things with that noun in their logical id."""
    return {
        action
        for one in statements(system, group)
        if any(noun in text for text in (*texts(one["Resource"]), *uses(one)))
        for action in as_list(one["Action"])
    }


def uses(statement: dict[str, Any]) -> list[str]:
    """What the SQS queues of a statement are for, which it tells apart by their tags."""
    tags = statement.get("Condition", {}).get("StringEquals", {})
    return as_list(tags.get("aws:ResourceTag/remotejob:use", []))


def test_there_is_a_policy_for_each_group_and_no_other(system: System) -> None:
    named = {policy(system, group).id for group in Group}

    assert len(named) == len(Group)
    doctor = system.template("workers")["Outputs"]["DoctorPolicy"]["Value"]["Ref"]
    assert {one.id for one in system.resources("AWS::IAM::ManagedPolicy")} == {*named, doctor}


@pytest.mark.parametrize("group", Group)
def test_a_policy_allows_the_calls_of_the_table_and_no_other(system: System, group: Group) -> None:
    assert actions(system, group) == {call for one in grants_of(group) for call in one.calls}


@pytest.mark.parametrize("group", THEIRS)
def test_a_group_may_give_the_commands_it_could_and_admins_may_give_all(group: Group) -> None:
    for command in THEIRS[group]:
        assert COMMANDS[command].groups == {Group.ADMIN, group}
    assert [name for name, row in COMMANDS.items() if Group.ADMIN not in row.groups] == []


def test_creators_hear_of_ends_and_read_outputs_and_replace_repeats_only_as_managers() -> None:
    for command in ("Queue.next(completed)", "Queue.next(failed)", "Output.open"):
        assert Group.CREATOR in COMMANDS[command].groups
    assert COMMANDS["Queue.submit(cancel_repeats)"].groups == {Group.ADMIN}


def test_the_switch_for_all_queues_is_for_admins_and_managers() -> None:
    for command in ("RemoteJob.stop_all", "RemoteJob.start_all"):
        assert COMMANDS[command].groups == {Group.ADMIN, Group.MANAGER}


def test_every_group_reads_jobs_and_the_whole_of_their_records() -> None:
    assert COMMANDS["RemoteJob.job"].groups == set(Group)
    assert READ in COMMANDS["RemoteJob.job"].grants
    assert READ.condition == {}


@pytest.mark.parametrize("group", Group)
def test_nothing_is_denied_so_that_groups_add_up(system: System, group: Group) -> None:
    """Who is in two groups may do what either may."""
    assert {one["Effect"] for one in statements(system, group)} == {"Allow"}


@pytest.mark.parametrize("group", Group)
def test_no_policy_names_anything_outside_the_system(system: System, group: Group) -> None:
    for one in statements(system, group):
        for resource in as_list(one["Resource"]):
            assert resource != "*"
            assert "Fn::GetAtt" in json.dumps(resource) or "Ref" in json.dumps(resource)


def test_admin_may_call_whatever_another_group_may_without_conditions(system: System) -> None:
    others = set().union(*(actions(system, group) for group in Group))

    assert actions(system, Group.ADMIN) == others
    conditional = [one for one in statements(system, Group.ADMIN) if "Condition" in one]
    assert [one for one in conditional if not uses(one)] == []


@pytest.mark.parametrize("group", Group)
def test_queues_of_this_system_alone(system: System, group: Group) -> None:
    """IAM compares their tags: a policy must not grow with the queues."""
    on_queues = [
        one
        for one in statements(system, group)
        if any(action.startswith("sqs:") for action in as_list(one["Action"]))
    ]
    assert on_queues
    for one in on_queues:
        assert one["Condition"]["StringEquals"]["aws:ResourceTag/remotejob"] == "test"
        assert uses(one)


@pytest.mark.parametrize("group", [Group.CREATOR, Group.WORKER])
def test_only_managers_write_to_the_table_unconditionally(system: System, group: Group) -> None:
    for one in statements(system, group):
        if set(as_list(one["Action"])) & WRITES:
            assert "dynamodb:Attributes" in json.dumps(one["Condition"])


@pytest.mark.parametrize(
    ("noun", "call", "groups"),
    [
        ("lane", "sqs:ReceiveMessage", {Group.WORKER}),
        # managers read the status that nobody has read
        ("status", "sqs:ReceiveMessage", {Group.CREATOR, Group.MANAGER}),
        ("status", "sqs:SendMessage", {Group.MANAGER, Group.WORKER}),
        ("dead-letter", "sqs:SendMessage", {Group.WORKER}),
        ("BucketsInput", "s3:PutObject", {Group.CREATOR}),
        ("BucketsInput", "s3:DeleteObject", {Group.CREATOR, Group.MANAGER}),
        ("BucketsInput", "s3:GetObject", {Group.CREATOR, Group.WORKER}),
        ("BucketsOutput", "s3:PutObject", {Group.WORKER}),
        ("BucketsOutput", "s3:DeleteObject", {Group.MANAGER}),
        ("JobsTable", "dynamodb:GetItem", {Group.CREATOR, Group.MANAGER, Group.WORKER}),
        ("JobsTable", "dynamodb:DeleteItem", {Group.MANAGER, Group.WORKER}),
    ],
)
def test_what_tells_the_groups_apart(
    system: System, noun: str, call: str, groups: set[Group]
) -> None:
    found = {group for group in Group if call in allowed_on(system, group, noun)}

    assert found == groups | {Group.ADMIN}


def test_a_manager_removes_submitted_inputs_alone(system: System) -> None:
    (files,) = (
        resource
        for one in statements(system, Group.MANAGER)
        if "s3:DeleteObject" in as_list(one["Action"])
        for resource in as_list(one["Resource"])
        if any("BucketsInput" in text for text in texts(resource))
    )

    assert list(texts(files))[-1] == "/jobs/*"


@pytest.mark.parametrize("group", Group)
def test_conditions_name_attributes_of_the_table(system: System, group: Group) -> None:
    fields = {field.value for field in Field}
    for one in statements(system, group):
        for operator, keys in one.get("Condition", {}).items():
            if operator.endswith(":StringEquals"):
                assert set(as_list(keys.get("dynamodb:Attributes", []))) <= fields


def test_policies_have_room(system: System) -> None:
    sizes = {group: len(written(system, policy(system, group))) for group in Group}

    assert max(sizes.values()) < ROOM


def written(system: System, one: Resource) -> str:
    """The document with the longest names that CloudFormation may generate."""
    kinds = {resource.id: resource.type for resource in system.resources()}

    def resolved(value: Any) -> Any:
        match value:
            case {"Fn::GetAtt": [name, _]}:
                longest = f"remotejob-test-storage-{name}-{'x' * 12}"[: LONGEST[kinds[name]]]
                return f"arn:aws:service:ap-northeast-1:123456789012:{longest}"
            case {"Ref": _}:
                return "arn:aws:ssm:ap-northeast-1"
            case {"Fn::Join": [between, parts]}:
                return between.join(resolved(part) for part in parts)
            case dict():
                return {key: resolved(inner) for key, inner in value.items()}
            case list():
                return [resolved(inner) for inner in value]
        return value

    document = resolved(one.properties["PolicyDocument"])
    return json.dumps(document, separators=(",", ":"))


def test_every_command_is_somebodys() -> None:
    assert all(Group.ADMIN in row.groups for row in COMMANDS.values())
    for group in Group:
        assert [one for one, row in COMMANDS.items() if group in row.groups]


def test_the_page_says_of_each_command_whose_it_is() -> None:
    page = Path("docs/permissions.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.*`.*?) \|(.*)\|$", page, re.MULTILINE)
    order = (Group.ADMIN, Group.MANAGER, Group.CREATOR, Group.WORKER)
    shown = [
        (
            {
                word
                for quoted in re.findall(r"`(.*?)`", names)
                for word in re.findall(r"\w+", quoted)
            },
            {group for group, tick in zip(order, ticks.split("|"), strict=True) if "✓" in tick},
        )
        for names, ticks in rows
        if ticks.count("|") == 3
    ]

    missing = [
        command
        for command, row in COMMANDS.items()
        if command not in IN_PROSE
        and not any(words_of(command) <= words and groups == row.groups for words, groups in shown)
    ]

    assert [one for one in missing if not one.startswith("TakenJob") and "_jobs" not in one] == []


IN_PROSE = {"Queue.submit(cancel_repeats)"}


def words_of(command: str) -> set[str]:
    method, _, variant = command.partition(".")[2].removesuffix(")").partition("(")
    return {method, variant} - {"", "long"}
