"""Policies that speak of a table's attributes are enforced as DynamoDB's guide says."""

from __future__ import annotations

from typing import Any

import pytest

from remotejob.local.access.calls import Call
from remotejob.local.access.permissions import required
from remotejob.local.access.policies import Access, allowed

KEY = {"pk": {"S": "p"}, "sk": {"S": "s"}}
PUT = {"Item": {**KEY, "colour": {"S": "red"}}}
UPDATE = {
    "Key": KEY,
    "UpdateExpression": "SET colour = :colour, #s.inner = if_not_exists(size, :x) ADD n :n",
    "ConditionExpression": "attribute_exists(pk) AND (state IN (:a, :b) OR contains(tags, :t))",
    "ExpressionAttributeNames": {"#s": "shape"},
}


def accesses(operation: str, **parameters: Any) -> list[Access]:
    return required(
        Call(
            service="dynamodb",
            operation=operation,
            region="eu-west-1",
            account="123456789012",
            parameters=parameters,
            query={},
            headers={},
            body=b"",
        )
    )


def attributes(access: Access) -> set[str]:
    return set(access.context["dynamodb:Attributes"])


def test_a_put_names_what_it_writes_and_what_it_compares() -> None:
    (access,) = accesses("PutItem", TableName="t", **PUT, ConditionExpression="size < :size")

    assert attributes(access) == {"pk", "sk", "colour", "size"}


def test_an_update_names_what_its_expressions_name_at_the_top_level() -> None:
    (access,) = accesses("UpdateItem", TableName="t", **UPDATE)

    assert attributes(access) == {"pk", "sk", "colour", "shape", "size", "n", "state", "tags"}


def test_legacy_parameters_name_attributes_too() -> None:
    key = {"pk": {"S": "a"}}
    (update,) = accesses(
        "UpdateItem", TableName="t", Key=key, AttributeUpdates={"state": {}}, Expected={"size": {}}
    )
    (query,) = accesses("Query", TableName="t", KeyConditions={"pk": {}}, QueryFilter={"n": {}})

    assert attributes(update) == {"pk", "state", "size"}
    assert attributes(query) == {"pk", "n"}


def test_the_parts_of_a_transaction_are_looked_at_one_by_one() -> None:
    items = [{"Put": {"TableName": "t", **PUT}}, {"Update": {"TableName": "t", **UPDATE}}]

    put, update = accesses("TransactWriteItems", TransactItems=items)

    assert (put.action, update.action) == ("dynamodb:PutItem", "dynamodb:UpdateItem")
    assert attributes(put) == {"pk", "sk", "colour"}
    assert "shape" in attributes(update)
    assert put.context["dynamodb:EnclosingOperation"] == "TransactWriteItems"


def test_a_batch_names_what_all_its_writes_do() -> None:
    writes = [{"PutRequest": PUT}, {"DeleteRequest": {"Key": {"other": {"S": "k"}}}}]

    (access,) = accesses("BatchWriteItem", RequestItems={"t": writes})

    assert attributes(access) == {"pk", "sk", "colour", "other"}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"ForAllValues:StringEquals": {"dynamodb:Attributes": ["pk", "sk", "colour"]}}, True),
        ({"ForAllValues:StringEquals": {"dynamodb:Attributes": ["pk", "sk"]}}, False),
        ({"ForAnyValue:StringEquals": {"dynamodb:Attributes": ["colour", "size"]}}, True),
        ({"ForAnyValue:StringEquals": {"dynamodb:Attributes": ["size"]}}, False),
        ({"Null": {"dynamodb:Attributes": "false"}}, True),
        (
            {"ForAnyValue:StringEquals": {"dynamodb:EnclosingOperation": ["TransactWriteItems"]}},
            False,
        ),
    ],
)
def test_conditions_on_attributes(condition: dict[str, Any], expected: object) -> None:
    (access,) = accesses("PutItem", TableName="t", **PUT)
    statement = {
        "Effect": "Allow",
        "Action": "dynamodb:PutItem",
        "Resource": "*",
        "Condition": condition,
    }

    assert allowed([{"Statement": [statement]}], access) is expected


@pytest.mark.parametrize("word", ["#1", "#0", "#-", "#1-a"])
def test_names_that_begin_with_a_digit_are_seen(word: str) -> None:
    (update,) = accesses(
        "UpdateItem",
        TableName="t",
        Key=KEY,
        UpdateExpression=f"SET {word} = :r",
        ExpressionAttributeNames={word: "j_result"},
    )

    assert "j_result" in attributes(update)
