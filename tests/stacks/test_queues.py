"""The queues, and the description that tells the library where they are."""

from __future__ import annotations

import json

import pytest

from remotejob.backends.aws.system_description import DescribedQueue
from remotejob.domain.budgets import DailyBudget
from remotejob.domain.errors import SettingsError
from remotejob.domain.priority import Order
from remotejob.names import (
    SYSTEM_VERSION,
    Env,
    QueueKey,
    SystemKey,
    queue_parameter,
    system_parameter,
    uploads_parameter,
)
from remotejob.ports import UPLOAD_CHANNELS, Channel, QueueDescription
from tests.stacks.conftest import Synthesize
from tests.stacks.templates import Resource, System, description

QUEUE = "AWS::SQS::Queue"
FORTNIGHT = 14 * 24 * 3600
ORDERED_QUEUE = """
[queues.mail]
tasks = ["send"]
order = "fifo"
tenant_limit = 4
"""
OPTIONAL = {QueueKey.ORDER, QueueKey.TENANT_LIMIT, QueueKey.RETIRED}
PENDING = ("High", "Normal", "Low")


def job_queue(system: System, name: str, kind: str) -> Resource:
    """The SQS queue that the system description names."""
    id_ = described_queue(system, name)[kind].strip("<>")
    (queue,) = [r for r in system.resources(QUEUE) if r.id == id_]
    return queue


def described(system: System) -> dict:  # type: ignore[type-arg]
    parameter = system.resource("AWS::SSM::Parameter", Name=f"/remotejob/{system.name}")
    return description(parameter.properties["Value"], of=system)


def described_queue(system: System, name: str) -> dict:  # type: ignore[type-arg]
    parameter = system.resource("AWS::SSM::Parameter", Name=queue_parameter(system.name, name))
    return description(parameter.properties["Value"], of=system)


def read_queue(system: System, name: str) -> QueueDescription:
    """The queue, as a client reads it."""
    text = json.dumps(described_queue(system, name))
    return DescribedQueue.from_json(text, name=name, origin="the parameter").queue


def redrive(queue: Resource) -> tuple[str, int]:
    policy = queue.properties["RedrivePolicy"]
    return policy["deadLetterTargetArn"]["Fn::GetAtt"][0], policy["maxReceiveCount"]


def test_every_queue_is_encrypted_and_keeps_messages_for_a_fortnight(system: System) -> None:
    queues = system.resources(QUEUE)
    assert len(queues) == 2 * 8 + 3
    for queue in queues:
        assert queue.properties["SqsManagedSseEnabled"] is True
        assert queue.properties["MessageRetentionPeriod"] == FORTNIGHT
        assert "QueueName" not in queue.properties


def test_every_queue_refuses_calls_without_tls(system: System) -> None:
    refusing = {
        queue["Ref"]
        for policy in system.resources("AWS::SQS::QueuePolicy")
        for statement in policy.properties["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
        and statement["Action"] == "sqs:*"
        and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        for queue in policy.properties["Queues"]
    }
    assert refusing == {queue.id for queue in system.resources(QUEUE)}


@pytest.mark.parametrize("name", ["default", "video"])
def test_pending_lanes_share_a_dead_letter_queue_as_a_last_resort(
    system: System, name: str
) -> None:
    dead_letter = job_queue(system, name, QueueKey.DEAD_LETTER)
    for kind in (QueueKey.HIGH, QueueKey.NORMAL, QueueKey.LOW):
        lane = job_queue(system, name, kind)
        assert lane.properties["VisibilityTimeout"] == 60
        assert redrive(lane) == (dead_letter.id, 1000)


def test_status_queues_have_a_dead_letter_queue_each(system: System) -> None:
    targets = {
        redrive(job_queue(system, name, kind))[0]
        for name in ("default", "video")
        for kind in (QueueKey.COMPLETED, QueueKey.FAILED)
    }
    assert len(targets) == 4
    assert not targets & {job_queue(system, n, "dead_letter").id for n in ("default", "video")}


def test_a_message_comes_back_when_its_lease_ends(synthesize: Synthesize) -> None:
    lane = job_queue(synthesize(lease_seconds=200), "default", QueueKey.NORMAL)
    assert lane.properties["VisibilityTimeout"] == 200


def test_the_descriptions_have_exactly_the_keys_of_the_library(system: System) -> None:
    found = described(system)
    absent = (SystemKey.READABLE_BUCKETS, SystemKey.QUEUES)
    assert list(found) == [key for key in SystemKey if key not in absent]
    assert found["version"] == SYSTEM_VERSION
    assert found["name"] == "test"
    assert (found["lease_seconds"], found["retention_days"]) == (60, 30)
    assert found["clock_skew_seconds"] == 2
    for name, tasks in (("default", ["thumbnail"]), ("video", ["transcode", "probe"])):
        queue = described_queue(system, name)
        assert set(queue) == {*QueueKey} - OPTIONAL
        assert queue["tasks"] == tasks


def test_the_description_tells_order_and_tenant_limit_where_they_are_set(
    synthesize: Synthesize,
) -> None:
    more = synthesize(more=ORDERED_QUEUE)
    queues = {name: read_queue(more, name) for name in ("default", "mail")}
    told = {name: (queue.order, queue.tenant_limit) for name, queue in queues.items()}
    assert told == {"default": (Order.WEIGHTED, None), "mail": (Order.FIFO, 4)}


def test_the_descriptions_name_what_was_built(system: System) -> None:
    found = described(system)
    assert found["table"] == f"<{system.resource('AWS::DynamoDB::Table').id}>"
    assert found["input_bucket"].startswith("<BucketsInput")
    assert found["output_bucket"].startswith("<BucketsOutput")
    queues = [described_queue(system, name) for name in ("default", "video")]
    urls = [url for queue in queues for url in queue.values() if isinstance(url, str)]
    assert len(set(urls)) == 16


def test_the_uploads_are_described_for_clients(system: System) -> None:
    (described,) = [
        one.properties["Value"]
        for one in system.resources("AWS::SSM::Parameter")
        if one.properties["Name"] == uploads_parameter("test")
    ]
    found = description(described, of=system)
    assert [Channel(name) for name in found] == list(UPLOAD_CHANNELS)
    assert len(set(found.values())) == 3


def test_the_descriptions_are_where_a_client_looks(system: System) -> None:
    parameters = {one.properties["Name"]: one for one in system.resources("AWS::SSM::Parameter")}
    wanted = {system_parameter("test")} | {
        queue_parameter("test", name) for name in ("default", "video")
    }
    assert wanted <= parameters.keys()
    for name in wanted:
        assert parameters[name].properties["Type"] == "String"


def test_functions_know_the_system_and_a_worker_its_own_queue(system: System) -> None:
    whole = _outline(described(system))
    for function in system.resources("AWS::Lambda::Function"):
        value = function.properties["Environment"]["Variables"][Env.SYSTEM]
        assert _outline(description(value, of=system)) == whole
    told = set()
    for task in system.resources("AWS::ECS::TaskDefinition"):
        entries = task.properties["ContainerDefinitions"][0]["Environment"]
        variables = {entry["Name"]: entry["Value"] for entry in entries}
        found = description(variables[Env.SYSTEM], of=system)
        own = variables[Env.QUEUE]
        assert found.pop("queues") == {own: described_queue(system, own)}
        assert _outline(found) == whole
        told.add(own)
    assert told == {"default", "video"}


def _outline(described: dict) -> str:  # type: ignore[type-arg]
    """What does not depend on whether a reference crosses a stack."""
    return json.dumps([list(described), described["version"], described["name"]])


REFERENCES = ("Exports", "PublishOutput")
"""How the outputs begin that the CDK makes for other stacks."""
POLICIES = {f"{group}Policy" for group in ("Admin", "Manager", "Creator", "Worker")}


def test_outputs_are_what_a_user_needs(system: System) -> None:
    for part, expected in (
        ("storage", {"InputBucket", "OutputBucket", "Parameter", *POLICIES}),
        ("functions", set()),
        ("workers", {"DoctorPolicy"}),
    ):
        outputs = system.template(part).get("Outputs", {})
        assert {name for name in outputs if not name.startswith(REFERENCES)} == expected


def test_more_tasks_than_a_parameter_holds_are_refused_with_the_remedy(
    synthesize: Synthesize,
) -> None:
    tasks = ", ".join(f'"task-{number:04}-{"x" * 50}"' for number in range(60))
    with pytest.raises(SettingsError, match="to another queue") as refused:
        synthesize(more=f"[queues.many]\ntasks = [{tasks}]")
    assert "[queues.many]" in str(refused.value)
    assert "60 tasks" in str(refused.value)


def test_more_buckets_than_the_description_holds_are_refused_with_the_remedy(
    synthesize: Synthesize,
) -> None:
    names = ", ".join(f'"bucket-{number:04}-{"x" * 50}"' for number in range(60))
    with pytest.raises(SettingsError, match="fewer readable_buckets"):
        synthesize(retention_days=f"30\nreadable_buckets = [{names}]")


def test_the_description_tells_limits_where_they_are_set(synthesize: Synthesize) -> None:
    more = (
        '[queues.dear]\ntasks = ["a"]\ndaily_jobs = 9\ndaily_dollars = 2\nmax_pending = 70\n'
        "retired = true\n"
    )
    limited = synthesize(more=more)
    default, dear = read_queue(limited, "default"), read_queue(limited, "dear")

    assert default.budget == DailyBudget()
    assert default.max_pending is None
    assert dear.budget == DailyBudget(runs=9, dollars=2.0)
    assert dear.max_pending == 70
    assert (default.retired, dear.retired) == (False, True)
    assert described(limited)["max_depth"] == 10
