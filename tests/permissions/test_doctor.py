"""`remotejob doctor` of a deployed system: each thing is broken once, and named with its remedy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from typer.testing import CliRunner

from remotejob import RemoteJob
from remotejob.cdk.commands import Group
from remotejob.cli.app import app
from remotejob.cli.doctor.deployed import Context, checks_of
from remotejob.cli.doctor.deployed.inventory import Inventory
from remotejob.cli.doctor.findings import Finding, Severity, run_checks
from remotejob.local.embedded import EmbeddedAws
from remotejob.names import Part, stack_name
from tests.deployed import exported
from tests.permissions.conftest import SYSTEM, NewPerson, Person

pytestmark = pytest.mark.xdist_group("permissions/test_matrix.py")
"""The system of the other tests here, in one process: what is broken is mended again."""


Find = Callable[..., list[Finding]]


@pytest.fixture(scope="module")
def context(aws: EmbeddedAws) -> Context:
    with exported(aws.environment()):
        made = Context(RemoteJob.connect(SYSTEM)._installation)
        assert made.inventory.missing == ()
        return made


@pytest.fixture(autouse=True)
def _nobodys_letters(aws: EmbeddedAws) -> None:
    """The tests of the permissions, which may have run before, leave dead letters."""
    for queue in aws.deployment.all("AWS::SQS::Queue"):
        if "DeadLetter" in queue.logical_id or "Undelivered" in queue.logical_id:
            aws.client("sqs").purge_queue(QueueUrl=queue.physical_id)


@pytest.fixture
def find(context: Context) -> Find:
    """Run the check of a subject, or all."""

    def run(subject: str = "") -> list[Finding]:
        chosen = [one for one in checks_of(context, local=True) if subject in one.subject]
        assert chosen
        return run_checks(chosen)

    return run


def test_system_as_deployed_has_no_finding(find: Find) -> None:
    assert find() == []


Break = Callable[[EmbeddedAws, Inventory], AbstractContextManager[None]]


@contextmanager
def rule_disabled(aws: EmbeddedAws, inventory: Inventory) -> Iterator[None]:
    events, name = aws.client("events"), _physical(inventory, "SchedulerTick")
    events.disable_rule(Name=name)
    try:
        yield
    finally:
        events.enable_rule(Name=name)


@contextmanager
def rule_deleted(aws: EmbeddedAws, inventory: Inventory) -> Iterator[None]:
    events, name = aws.client("events"), _physical(inventory, "SchedulerSweep")
    rule = events.describe_rule(Name=name)
    targets = events.list_targets_by_rule(Rule=name)["Targets"]
    events.remove_targets(Rule=name, Ids=[one["Id"] for one in targets])
    events.delete_rule(Name=name)
    try:
        yield
    finally:
        events.put_rule(
            Name=name,
            ScheduleExpression=rule["ScheduleExpression"],
            Description=rule["Description"],
            State="ENABLED",
        )
        events.put_targets(Rule=name, Targets=targets)


@contextmanager
def rule_without_target(aws: EmbeddedAws, inventory: Inventory) -> Iterator[None]:
    events, name = aws.client("events"), _physical(inventory, "UploadsRule")
    targets = events.list_targets_by_rule(Rule=name)["Targets"]
    events.remove_targets(Rule=name, Ids=[one["Id"] for one in targets])
    try:
        yield
    finally:
        events.put_targets(Rule=name, Targets=targets)


def policy_dropped(aws: EmbeddedAws, inventory: Inventory) -> AbstractContextManager[None]:
    return _changed(aws, _physical(inventory, "QueuesdefaultNormal"), Policy="")


def redrive_dropped(aws: EmbeddedAws, inventory: Inventory) -> AbstractContextManager[None]:
    return _changed(aws, _physical(inventory, "UploadsQueue"), RedrivePolicy="")


def retention_cut(aws: EmbeddedAws, inventory: Inventory) -> AbstractContextManager[None]:
    return _changed(aws, _physical(inventory, "QueuesdefaultHigh"), MessageRetentionPeriod="60")


@contextmanager
def _changed(aws: EmbeddedAws, url: str, **attributes: str) -> Iterator[None]:
    sqs = aws.client("sqs")
    # the policy, too: moto drops it with any change
    names: Any = [*attributes, "Policy"]
    before = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={**before, **attributes})
    try:
        yield
    finally:
        sqs.set_queue_attributes(QueueUrl=url, Attributes=before)


@contextmanager
def dead_letters(aws: EmbeddedAws, inventory: Inventory) -> Iterator[None]:
    sqs, url = aws.client("sqs"), _physical(inventory, "QueuesdefaultDeadLetter")
    sqs.send_message(QueueUrl=url, MessageBody="{}")
    try:
        yield
    finally:
        sqs.purge_queue(QueueUrl=url)


@contextmanager
def queue_stopped(aws: EmbeddedAws, inventory: Inventory) -> Iterator[None]:
    with exported(aws.environment()):
        queue = RemoteJob.connect(SYSTEM).queue()
    queue.stop()
    try:
        yield
    finally:
        queue.start()


@contextmanager
def expiry_off(aws: EmbeddedAws, inventory: Inventory) -> Iterator[None]:
    dynamodb, name = aws.client("dynamodb"), _physical(inventory, "JobsTable")
    _expire(dynamodb, name, enabled=False)
    try:
        yield
    finally:
        _expire(dynamodb, name, enabled=True)


@contextmanager
def recovery_off(aws: EmbeddedAws, inventory: Inventory) -> Iterator[None]:
    dynamodb, name = aws.client("dynamodb"), _physical(inventory, "JobsTable")
    _recover(dynamodb, name, enabled=False)
    try:
        yield
    finally:
        _recover(dynamodb, name, enabled=True)


@contextmanager
def source_disabled(aws: EmbeddedAws, inventory: Inventory) -> Iterator[None]:
    functions, uuid = aws.client("lambda"), _physical(inventory, "UploadsSource")
    functions.update_event_source_mapping(UUID=uuid, Enabled=False)
    try:
        yield
    finally:
        functions.update_event_source_mapping(UUID=uuid, Enabled=True)


@contextmanager
def bucket_silent(aws: EmbeddedAws, inventory: Inventory) -> Iterator[None]:
    s3, name = aws.client("s3"), _physical(inventory, "BucketsInput")
    s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration={})
    try:
        yield
    finally:
        s3.put_bucket_notification_configuration(
            Bucket=name, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )


@contextmanager
def role_robbed(aws: EmbeddedAws, inventory: Inventory) -> Iterator[None]:
    iam, name = aws.client("iam"), _physical(inventory, "QueuesdefaultRole")
    (policy,) = iam.list_role_policies(RoleName=name)["PolicyNames"]
    document = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
    iam.delete_role_policy(RoleName=name, PolicyName=policy)
    try:
        yield
    finally:
        iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document))


@contextmanager
def role_denied(aws: EmbeddedAws, inventory: Inventory) -> Iterator[None]:
    iam, name = aws.client("iam"), _physical(inventory, "QueuesdefaultRole")
    deny = {"Effect": "Deny", "Action": "sqs:ReceiveMessage", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    iam.put_role_policy(RoleName=name, PolicyName="Deny", PolicyDocument=document)
    try:
        yield
    finally:
        iam.delete_role_policy(RoleName=name, PolicyName="Deny")


@contextmanager
def function_of_another_version(aws: EmbeddedAws, inventory: Inventory) -> Iterator[None]:
    functions, name = aws.client("lambda"), _physical(inventory, "SchedulerFunction", "Lambda")
    before = functions.get_function_configuration(FunctionName=name)["Environment"]
    other = {"Variables": {**before["Variables"], "REMOTEJOB_VERSION": "0.0.1"}}
    functions.update_function_configuration(FunctionName=name, Environment=other)
    try:
        yield
    finally:
        functions.update_function_configuration(FunctionName=name, Environment=before)


BROKEN: list[tuple[str, Break, str, str]] = [
    ("the rules", rule_disabled, "it is disabled (Tells the scheduler: tick)", "enable-rule"),
    ("the rules", rule_deleted, "it does not exist (Tells the scheduler: sweep)", "functions"),
    ("the rules", rule_without_target, "it has no target (A file arrived", "functions stack"),
    ("the queues", policy_dropped, "its policy has 0 of 1", "deploy"),
    ("the queues", redrive_dropped, "no dead-letter queue", "deploy"),
    ("the queues", retention_cut, "messages are kept for 60 s, not 1209600 s", "deploy"),
    ("the dead letters", dead_letters, "about 1 dead letters", "remotejob deadletters"),
    ("the switches", queue_stopped, "it is stopped since", "remotejob start default"),
    ("the job table", expiry_off, "its time to live is off", "update-time-to-live"),
    ("the job table", recovery_off, "point-in-time recovery is off", "update-continuous-backups"),
    ("the functions", source_disabled, "no upload becomes a job", "--enabled"),
    ("the input bucket", bucket_silent, "does not announce uploads", "EventBridge"),
    ("the roles", role_robbed, "somebody took rights away", "deploy"),
    ("the roles", role_denied, "it may not sqs:ReceiveMessage on", "change that policy"),
    ("the versions", function_of_another_version, "it has version 0.0.1", "same version"),
]
SAMPLE = (rule_disabled, policy_dropped)
"""In `make test`; the others in `make test-all`."""

CASES = [
    pytest.param(
        *case,
        id=case[1].__name__,
        marks=() if case[1] in SAMPLE else pytest.mark.exhaustive,
    )
    for case in BROKEN
]


@pytest.mark.parametrize(("subject", "broken", "what", "remedy"), CASES)
def test_what_is_broken_is_named(
    subject: str,
    broken: Break,
    what: str,
    remedy: str,
    aws: EmbeddedAws,
    context: Context,
    find: Find,
) -> None:
    with broken(aws, context.inventory):
        found = find(subject)

    assert [one for one in found if what in one.what and remedy in one.remedy], found
    assert find(subject) == []


def test_what_may_not_be_read_is_not_called_fine(
    people: dict[Group, Person], aws: EmbeddedAws
) -> None:
    """A manager may read the table and none of the rest."""
    with as_person(people[Group.MANAGER], aws):
        found = run_checks(checks_of(Context(RemoteJob.connect(SYSTEM)._installation), local=True))

    assert {one.severity for one in found} == {Severity.WARNING}
    blind = {one.place for one in found}
    assert blind >= {"the stacks", "the job table", "the queues", "the rules", "the roles"}
    assert all(one.what.startswith(f"could not check {one.place}") for one in found)


def test_policy_of_the_workers_stack_lets_see_everything(
    new_person: NewPerson, aws: EmbeddedAws
) -> None:
    policy = aws.deployment.outputs[stack_name(SYSTEM, Part.WORKERS)]["DoctorPolicy"]
    with exported(aws.environment()):
        person = new_person(Group.MANAGER, Group.CREATOR, Group.WORKER)
        aws.client("iam").attach_user_policy(UserName="of-manager-creator-worker", PolicyArn=policy)

    with as_person(person, aws):
        connected = RemoteJob.connect(SYSTEM)
        found = run_checks(checks_of(Context(connected._installation), local=True))
        reason = connected.queue().submit("work").cancel().restart().why()

    assert found == []
    assert reason.unseen == ()


def test_command_exits_with_6_and_prints_each_finding(aws: EmbeddedAws, context: Context) -> None:
    with rule_disabled(aws, context.inventory):
        shown = CliRunner().invoke(app, ["--on", "aws", "doctor", "--system", SYSTEM, "--json"])

    assert shown.exit_code == 6, shown.output
    found = json.loads(shown.stdout)["findings"]
    # the images, too, are missing: an embedded AWS has none
    (error,) = [one for one in found if one["place"].startswith("rule ")]
    assert error["severity"] == "error"
    assert "it is disabled" in error["what"]
    assert error["remedy"].startswith("enable it")


@contextmanager
def as_person(person: Person, aws: EmbeddedAws) -> Iterator[None]:
    keys = person.session.get_credentials()
    assert keys is not None
    named = {"AWS_ACCESS_KEY_ID": keys.access_key, "AWS_SECRET_ACCESS_KEY": keys.secret_key}
    with exported({**aws.environment(), **named}):
        yield


def _physical(inventory: Inventory, start: str, kind: str = "") -> str:
    """The name of the resource whose logical id begins like this."""
    (found,) = {
        one.physical_id
        for stack in inventory.stacks.values()
        for one in stack.resources
        if one.logical_id.startswith(start)
        and len(one.logical_id) == len(start) + 8
        and kind in one.kind
    }
    return found


def _expire(dynamodb: Any, name: str, *, enabled: bool) -> None:
    dynamodb.update_time_to_live(
        TableName=name,
        TimeToLiveSpecification={"Enabled": enabled, "AttributeName": "j_expires"},
    )


def _recover(dynamodb: Any, name: str, *, enabled: bool) -> None:
    dynamodb.update_continuous_backups(
        TableName=name,
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": enabled},
    )
