"""Policy documents are evaluated as the IAM User Guide says."""

from __future__ import annotations

from typing import Any

import pytest

from remotejob.local.access.policies import Access, allowed

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:jobs"


def statement(effect: str = "Allow", **elements: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": "sqs:*", "Resource": "*", **elements}


def decide(*statements: dict[str, Any], **context: Any) -> bool:
    access = Access(
        action="sqs:SendMessage",
        resource=QUEUE,
        context={name.replace("_", ":"): value for name, value in context.items()},
    )
    return allowed([{"Version": "2012-10-17", "Statement": list(statements)}], access)


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({}, True),
        ({"Action": "SQS:sendmessage"}, True),
        ({"Action": ["sqs:Receive*", "sqs:Send*"]}, True),
        ({"Action": "sqs:Send"}, False),
        ({"Resource": QUEUE}, True),
        ({"Resource": f"{QUEUE}?"}, False),
        ({"Resource": "arn:aws:sqs:*:*:j?bs"}, True),
        ({"Resource": "arn:aws:sqs:*:*:${*}"}, False),
        ({"Resource": "arn:aws:sqs:*:*:j${?}bs"}, False),
        ({"Resource": ["arn:aws:sqs:eu-west-1:123456789012:other"]}, False),
    ],
)
def test_action_and_resource_patterns(elements: dict[str, Any], expected: object) -> None:
    assert decide(statement(**elements)) is expected


def test_not_action_and_not_resource_leave_out() -> None:
    assert not decide({"Effect": "Allow", "NotAction": "sqs:*", "Resource": "*"})
    assert decide({"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"})
    assert not decide({"Effect": "Allow", "Action": "*", "NotResource": QUEUE})


def test_explicit_deny_wins() -> None:
    assert not decide(statement(), statement("Deny", Action="sqs:SendMessage"))


def test_nothing_is_allowed_by_default() -> None:
    assert not decide()


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"StringEquals": {"a:key": "one"}}, True),
        ({"StringEquals": {"A:KEY": ["two", "one"]}}, True),
        ({"StringEquals": {"a:key": "two"}}, False),
        ({"StringEquals": {"a:absent": "one"}}, False),
        ({"StringEqualsIfExists": {"a:absent": "one"}}, True),
        ({"StringNotEquals": {"a:key": "one"}}, False),
        ({"StringNotEquals": {"a:absent": "one"}}, True),
        ({"StringLike": {"a:key": "o*"}}, True),
        ({"ArnLike": {"a:arn": "arn:aws:*:rule/x"}}, True),
        ({"Null": {"a:absent": "true"}}, True),
        ({"Bool": {"a:flag": "true"}}, True),
        ({"NumericLessThan": {"a:number": "6"}}, True),
        ({"ForAllValues:StringEquals": {"a:list": ["x", "y", "z"]}}, True),
        ({"ForAllValues:StringEquals": {"a:list": ["x"]}}, False),
        ({"ForAnyValue:StringEquals": {"a:list": ["y"]}}, True),
        ({"DateGreaterThan": {"a:key": "2020-01-01"}}, False),
    ],
)
def test_conditions(condition: dict[str, Any], expected: object) -> None:
    context = {
        "a_key": "one",
        "a_arn": "arn:aws:events:e:1:rule/x",
        "a_flag": "true",
        "a_number": "5",
        "a_list": ["x", "y"],
    }
    assert decide(statement(Condition=condition), **context) is expected


def test_deny_with_a_condition_that_is_not_understood_denies() -> None:
    unknown = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}
    assert not decide(statement(), statement("Deny", Condition=unknown))


def test_resource_policy_lets_in_the_service_it_names() -> None:
    document = {
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": QUEUE,
        }
    }
    named = Access(action="sqs:SendMessage", resource=QUEUE, service="events.amazonaws.com")
    other = Access(action="sqs:SendMessage", resource=QUEUE, service="s3.amazonaws.com")
    assert allowed([document], named)
    assert not allowed([document], other)
