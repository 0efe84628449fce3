"""The upload function, the scheduler, and what starts them."""

from __future__ import annotations

import json
from typing import Any

from remotejob.names import INPUT_PREFIX_SUBMITTED
from tests.stacks.conftest import Synthesize
from tests.stacks.templates import Resource, System, texts

FUNCTION = "AWS::Lambda::Function"
RULE = "AWS::Events::Rule"


def upload_function(system: System) -> Resource:
    return system.resource(FUNCTION, Handler="lambdas.on_upload.handler")


def scheduler(system: System) -> Resource:
    return system.resource(FUNCTION, Handler="lambdas.scheduler.handler")


def upload_rule(system: System) -> dict[str, Any]:
    (rule,) = [r for r in system.resources(RULE) if "EventPattern" in r.properties]
    return rule.properties


def uploads_queue(system: System) -> Resource:
    name = upload_rule(system)["Targets"][0]["Arn"]["Fn::GetAtt"][0]
    (queue,) = [r for r in system.resources("AWS::SQS::Queue") if r.id == name]
    return queue


def test_the_upload_rule_takes_new_objects_of_the_input_bucket_but_submitted_inputs(
    system: System,
) -> None:
    pattern = upload_rule(system)["EventPattern"]
    assert pattern["source"] == ["aws.s3"]
    assert pattern["detail-type"] == ["Object Created"]
    assert set(pattern["detail"]) == {"bucket", "object"}
    assert pattern["detail"]["object"]["key"] == [
        {"anything-but": {"prefix": INPUT_PREFIX_SUBMITTED}}
    ]
    assert "BucketsInput" in "".join(texts(pattern["detail"]["bucket"]["name"]))


def test_the_upload_rule_keeps_what_it_cannot_deliver(system: System) -> None:
    (target,) = upload_rule(system)["Targets"]
    kept = target["DeadLetterConfig"]["Arn"]["Fn::GetAtt"][0]
    assert kept != uploads_queue(system).id
    assert target["RetryPolicy"] == {
        "MaximumEventAgeInSeconds": 24 * 3600,
        "MaximumRetryAttempts": 185,
    }


def test_only_the_upload_rule_may_send_to_the_uploads_queue(system: System) -> None:
    rule_id = next(r.id for r in system.resources(RULE) if "EventPattern" in r.properties)
    (allowed,) = [
        statement
        for policy in system.resources("AWS::SQS::QueuePolicy")
        if {"Ref": uploads_queue(system).id} in policy.properties["Queues"]
        for statement in policy.properties["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    ]
    assert allowed["Principal"] == {"Service": "events.amazonaws.com"}
    assert rule_id in texts(allowed["Condition"])


def test_an_upload_is_not_seen_twice_while_it_is_worked_on(system: System) -> None:
    queue = uploads_queue(system).properties
    assert queue["VisibilityTimeout"] >= 6 * upload_function(system).properties["Timeout"]
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 10


def test_one_bad_upload_does_not_take_down_its_batch(system: System) -> None:
    mapping = system.resource("AWS::Lambda::EventSourceMapping").properties
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["BatchSize"] == 10
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 10}
    assert mapping["EventSourceArn"] == {"Fn::GetAtt": [uploads_queue(system).id, "Arn"]}
    assert mapping["FunctionName"] == {"Ref": upload_function(system).id}


def test_the_schedules_say_what_to_do_and_when(system: System) -> None:
    told = {
        rule.properties["ScheduleExpression"]: rule.properties["Targets"]
        for rule in system.resources(RULE)
        if "ScheduleExpression" in rule.properties
    }
    assert set(told) == {"rate(1 minute)", "rate(3 hours)"}
    for schedule, do in (("rate(1 minute)", "tick"), ("rate(3 hours)", "sweep")):
        (target,) = told[schedule]
        assert json.loads(target["Input"]) == {"do": do}
        assert target["Arn"] == {"Fn::GetAtt": [scheduler(system).id, "Arn"]}
    permissions = system.resources("AWS::Lambda::Permission")
    assert {p.properties["Principal"] for p in permissions} == {"events.amazonaws.com"}
    assert len(permissions) == 2


def test_the_scheduler_has_a_whole_processor_and_five_minutes(system: System) -> None:
    function = scheduler(system).properties
    assert function["MemorySize"] == 1769
    assert function["Timeout"] == 300
    assert "ReservedConcurrentExecutions" not in function


def test_a_missed_tick_is_soon_given_up(system: System) -> None:
    retry = system.resource("AWS::Lambda::EventInvokeConfig").properties
    assert retry["MaximumRetryAttempts"] == 1
    assert retry["MaximumEventAgeInSeconds"] == 120


def test_functions_run_on_a_current_python(system: System) -> None:
    for function in system.resources(FUNCTION):
        assert function.properties["Runtime"] == "python3.14"
        assert function.properties["Architectures"] == ["arm64"]


def test_functions_get_no_more_environment_than_they_need(system: System) -> None:
    told = {
        function.properties["Handler"].split(".")[1]: function.properties["Environment"][
            "Variables"
        ]
        for function in system.resources(FUNCTION)
    }
    both = {"REMOTEJOB_SYSTEM", "REMOTEJOB_VERSION"}
    assert set(told["scheduler"]) == both
    # it wakes the scheduler for queues without workers
    assert set(told["on_upload"]) == both | {"REMOTEJOB_SCHEDULER"}


def test_every_log_ends(system: System) -> None:
    logs = system.resources("AWS::Logs::LogGroup")
    assert len(logs) == 2 + 2 + 1
    for log in logs:
        assert log.properties["RetentionInDays"] == 30


def test_every_function_writes_to_its_own_log(system: System) -> None:
    written = {
        function.properties["LoggingConfig"]["LogGroup"]["Ref"]
        for function in system.resources(FUNCTION)
    }
    assert len(written) == 2
    assert written < {log.id for log in system.resources("AWS::Logs::LogGroup")}


def test_nothing_runs_code_at_deployment(system: System) -> None:
    """No custom resource: nothing but our own two functions in the whole template."""
    assert len(system.resources(FUNCTION)) == 2
    types = {resource.type for resource in system.resources()}
    assert not {t for t in types if t.startswith("Custom::") or "CustomResource" in t}


def test_settings_are_part_of_the_functions_code(synthesize_whole: Synthesize) -> None:
    route = '[[routes]]\nprefix = "{}/"\ntask = "thumbnail"'
    before, after = (synthesize_whole(more=route.format(p)) for p in ("photos", "scans"))
    assert upload_function(before).properties["Code"] != upload_function(after).properties["Code"]
