"""The queues, and the description that tells the library where they are."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from remotejob.backends.aws.system_description import SystemDescription
from remotejob.cdk.description import LIMIT_BYTES
from remotejob.domain.budgets import DailyBudget
from remotejob.domain.errors import SettingsError
from remotejob.domain.priority import Order
from remotejob.names import (
    SYSTEM_VERSION,
    Env,
    Part,
    QueueKey,
    SystemKey,
    stack_name,
    system_parameter,
)
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
PENDING = ("High", "Normal", "Low")


def job_queue(system: System, name: str, kind: str) -> Resource:
    """The SQS queue that the system description names."""
    parameter = described(system)
    id_ = parameter["queues"][name][kind].strip("<>")
    (queue,) = [r for r in system.resources(QUEUE) if r.id == id_]
    return queue


def described(system: System) -> dict:  # type: ignore[type-arg]
    return description(_parameter(system)["Value"])


def _parameter(system: System) -> dict[str, Any]:
    return system.resource("AWS::SSM::Parameter", Name="/remotejob/test").properties


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


def test_the_description_has_exactly_the_keys_of_the_library(system: System) -> None:
    found = described(system)
    assert list(found) == [key for key in SystemKey if key is not SystemKey.READABLE_BUCKETS]
    assert found["version"] == SYSTEM_VERSION
    assert found["name"] == "test"
    assert (found["lease_seconds"], found["retention_days"]) == (60, 30)
    assert found["clock_skew_seconds"] == 2
    assert set(found["queues"]) == {"default", "video"}
    for queue in found["queues"].values():
        assert set(queue) == {*QueueKey} - {QueueKey.ORDER, QueueKey.TENANT_LIMIT}
    assert found["queues"]["video"]["tasks"] == ["transcode", "probe"]


def test_the_description_tells_order_and_tenant_limit_where_they_are_set(
    synthesize: Synthesize,
) -> None:
    text = json.dumps(described(synthesize(more=ORDERED_QUEUE)))
    queues = SystemDescription.from_json(text, origin="the parameter").queues
    told = {name: (queue.order, queue.tenant_limit) for name, queue in queues.items()}
    assert told == {"default": (Order.WEIGHTED, None), "mail": (Order.FIFO, 4)}


def test_the_description_names_what_was_built(system: System) -> None:
    found = described(system)
    assert found["table"] == f"<{system.resource('AWS::DynamoDB::Table').id}>"
    assert found["input_bucket"].startswith("<BucketsInput")
    assert found["output_bucket"].startswith("<BucketsOutput")
    urls = [url for q in found["queues"].values() for url in q.values() if isinstance(url, str)]
    assert len(set(urls)) == 12


def test_the_description_is_where_a_client_looks(system: System) -> None:
    parameter = _parameter(system)
    assert parameter["Name"] == system_parameter("test")
    assert parameter["Type"] == "String"


def test_functions_and_workers_get_the_same_description(system: System) -> None:
    told = [
        function.properties["Environment"]["Variables"][Env.SYSTEM]
        for function in system.resources("AWS::Lambda::Function")
    ]
    told += [
        entry["Value"]
        for task in system.resources("AWS::ECS::TaskDefinition")
        for entry in task.properties["ContainerDefinitions"][0]["Environment"]
        if entry["Name"] == Env.SYSTEM
    ]
    assert len(told) == 4
    outline = _outline(described(system))
    for value in told:
        assert _outline(description(value)) == outline


def _outline(described: dict) -> str:  # type: ignore[type-arg]
    """What does not depend on whether a reference crosses a stack."""
    queues = {name: (list(q), q["tasks"]) for name, q in described["queues"].items()}
    return json.dumps([list(described), described["version"], described["name"], queues])


POLICIES = {f"{group}Policy" for group in ("Admin", "Manager", "Creator", "Worker")}


def test_outputs_are_what_a_user_needs(system: System) -> None:
    for part, expected in (
        ("storage", {"InputBucket", "OutputBucket", "Parameter", *POLICIES}),
        ("functions", set()),
        ("workers", set()),
    ):
        outputs = system.template(part).get("Outputs", {})
        assert {name for name in outputs if not name.startswith("Exports")} == expected


def many_queues(count: int) -> str:
    return "\n".join(f'[queues.queue-{n}]\ntasks = ["task"]' for n in range(count))


def test_too_many_queues_for_a_function_are_refused_with_the_remedy(
    synthesize: Synthesize,
) -> None:
    with pytest.raises(SettingsError, match="a second system") as refused:
        synthesize(more=many_queues(8))
    assert "9 queues" in str(refused.value)


def test_as_many_queues_as_are_accepted_do_fit(synthesize: Synthesize) -> None:
    accepted = None
    for count in range(1, 20):
        try:
            accepted = synthesize(more=many_queues(count))
        except SettingsError:
            break
    assert accepted is not None
    queues = {queue.id for queue in accepted.resources(QUEUE)}

    def generated(reference: re.Match[str]) -> str:
        id_ = reference[1]
        name = f"{stack_name(accepted.name, Part.STORAGE)}-{id_}-ABCDEFGHIJKL"
        return f"https://sqs.ap-northeast-1.amazonaws.com/123456789012/{name}"[
            : None if id_ in queues else 63
        ]

    text = json.dumps(described(accepted), separators=(",", ":"))
    size = len(re.sub(r"<(\w+)(?:\.\w+)?>", generated, text)) + len(Env.SYSTEM)
    # And it was not refused for nothing: one more queue would not have fitted.
    assert LIMIT_BYTES * 0.75 < size <= LIMIT_BYTES


def test_the_description_tells_limits_where_they_are_set(synthesize: Synthesize) -> None:
    more = '[queues.dear]\ntasks = ["a"]\ndaily_jobs = 9\ndaily_dollars = 2\nmax_pending = 70\n'
    text = json.dumps(described(synthesize(more=more)))
    read = SystemDescription.from_json(text, origin="the parameter")

    assert read.queues["default"].budget == DailyBudget()
    assert read.queues["default"].max_pending is None
    assert read.queues["dear"].budget == DailyBudget(runs=9, dollars=2.0)
    assert read.queues["dear"].max_pending == 70
    assert read.max_depth == 10
