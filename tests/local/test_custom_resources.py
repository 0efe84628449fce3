"""Custom resources: their functions answer to an address that only they have, once."""

from __future__ import annotations

import json
import time
from typing import Any, Final
from uuid import uuid4

import pytest

from tests.local.hostile import House, Sent

CODE: Final = """
import json

def go(event, context):
    print(json.dumps(event), flush=True)
"""
NAMES: Final = ("StackId", "RequestId", "LogicalResourceId")


def asked(house: House) -> dict[str, Any]:
    """What the function of a new stack's custom resource was asked. It does not answer."""
    name = f"custom-{uuid4().hex[:8]}"
    arn = house.make_function(name, CODE)
    template = {
        "Resources": {"Mine": {"Type": "Custom::Mine", "Properties": {"ServiceToken": arn}}},
    }
    house.aws.client("cloudformation").create_stack(
        StackName=name, TemplateBody=json.dumps(template)
    )
    end = time.monotonic() + 20
    while time.monotonic() < end:
        log = house.aws.logs / f"{name}.log"
        for line in log.read_text().splitlines() if log.exists() else ():
            if line.startswith("{"):
                event: dict[str, Any] = json.loads(line)
                return {**event, "name": name}
        time.sleep(0.05)
    raise AssertionError("the function was not asked")


def answer(event: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**{name: event[name] for name in NAMES}, "Status": "SUCCESS", "Data": {}, **more}


def send(house: House, event: dict[str, Any], said: Any, *, method: str = "PUT") -> int:
    target = event["ResponseURL"].removeprefix(house.aws.endpoint_url)
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    return house.send(Sent(method=method, target=target, body=body)).status


def state(house: House, event: dict[str, Any]) -> str:
    described = house.aws.client("cloudformation").describe_stacks(StackName=event["name"])
    return str(described["Stacks"][0]["StackStatus"])


@pytest.fixture(scope="module")
def event(house: House) -> dict[str, Any]:
    """A question that is not answered until the last test of it."""
    return asked(house)


WRONG: Final = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": [],
    "no status": {"Status": None},
    "an unknown status": {"Status": "DONE"},
    "another stack": {"StackId": "x"},
    "another resource": {"LogicalResourceId": "x"},
    "another request": {"RequestId": "x"},
    "data that is none": {"Data": "x"},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_answer_to_another_question_is_refused(
    house: House, event: dict[str, Any], wrong: Any
) -> None:
    said = answer(event, **wrong) if isinstance(wrong, dict) else wrong

    assert send(house, event, said) == 400
    assert state(house, event) == "CREATE_IN_PROGRESS"


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "HEAD", "OPTIONS"])
def test_answer_by_another_method_is_refused(
    house: House, event: dict[str, Any], method: str
) -> None:
    assert send(house, event, answer(event), method=method) == 403
    assert state(house, event) == "CREATE_IN_PROGRESS"


def test_answer_that_is_long_is_refused(house: House, event: dict[str, Any]) -> None:
    assert send(house, event, answer(event, Data={"x": "y" * 5000})) == 413


@pytest.mark.parametrize("change", ["", "x", "/", "/..", "%2f"])
def test_address_cannot_be_guessed(house: House, event: dict[str, Any], change: str) -> None:
    url = event["ResponseURL"]
    other = url[:-1] + ("A" if url[-1] != "A" else "B") if not change else url + change
    target = other.removeprefix(house.aws.endpoint_url)
    body = json.dumps(answer(event)).encode()

    status = house.send(Sent(method="PUT", target=target, body=body)).status

    assert status == 403


def test_each_question_is_answered_once(house: House) -> None:
    question = asked(house)

    assert send(house, question, answer(question)) == 200
    assert state(house, question) == "CREATE_COMPLETE"
    assert send(house, question, answer(question)) == 403


def test_resource_that_its_function_could_not_make_fails_its_stack(house: House) -> None:
    question = asked(house)

    assert send(house, question, answer(question, Status="FAILED", Reason="no room")) == 200
    assert state(house, question) == "CREATE_FAILED"
    events = house.aws.client("cloudformation").describe_stack_events(StackName=question["name"])
    assert "Mine: no room" in str(events["StackEvents"])
