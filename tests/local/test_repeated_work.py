"""What is worked out once answers each request as if it had been worked out for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from remotejob.local.embedded import EmbeddedAws

MakeTable = Callable[[], str]


@pytest.fixture
def dynamodb(aws: EmbeddedAws) -> Any:
    return aws.client("dynamodb")


def _key(name: str) -> dict[str, Any]:
    return {"pk": {"S": name}, "sk": {"S": "0"}}


def test_one_expression_is_carried_out_with_each_requests_own_item_and_values(
    dynamodb: Any, make_table: MakeTable
) -> None:
    table = make_table()
    for name, count in (("a", 1), ("b", 10), ("a", 100)):
        dynamodb.update_item(
            TableName=table,
            Key=_key(name),
            UpdateExpression="SET v = :v ADD n :n",
            ExpressionAttributeValues={":v": {"S": f"{name}{count}"}, ":n": {"N": str(count)}},
        )

    found = {
        name: dynamodb.get_item(TableName=table, Key=_key(name), ConsistentRead=True)["Item"]
        for name in "ab"
    }

    assert found == {
        "a": {**_key("a"), "v": {"S": "a100"}, "n": {"N": "101"}},
        "b": {**_key("b"), "v": {"S": "b10"}, "n": {"N": "10"}},
    }


def test_one_condition_is_judged_with_each_requests_own_values(
    dynamodb: Any, make_table: MakeTable
) -> None:
    table = make_table()
    dynamodb.put_item(TableName=table, Item={**_key("a"), "n": {"N": "5"}})

    def update(least: int) -> None:
        dynamodb.update_item(
            TableName=table,
            Key=_key("a"),
            UpdateExpression="SET v = :v",
            ConditionExpression="n >= :least AND attribute_exists(pk)",
            ExpressionAttributeValues={":v": {"S": "x"}, ":least": {"N": str(least)}},
        )

    update(5)
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        update(6)
    update(4)


@pytest.mark.refused_by_aws
@pytest.mark.parametrize("times", [1, 2])
def test_an_expression_that_is_none_is_refused_each_time(
    dynamodb: Any, make_table: MakeTable, times: int
) -> None:
    table = make_table()
    for expression in ("SETT v = :v", "SET name = :v"):
        for _ in range(times):
            with pytest.raises(ClientError, match="ValidationException"):
                dynamodb.update_item(
                    TableName=table,
                    Key=_key("a"),
                    UpdateExpression=expression,
                    ExpressionAttributeValues={":v": {"S": "x"}},
                )


def test_values_of_every_type_come_back_as_they_were_put(
    dynamodb: Any, make_table: MakeTable
) -> None:
    table = make_table()
    values = {
        "text": {"S": ""},
        "number": {"N": "-1.5"},
        "bytes": {"B": b"\x00\xff"},
        "texts": {"SS": ["a", "b"]},
        "truth": {"BOOL": False},
        "nothing": {"NULL": True},
        "listed": {"L": [{"S": "x"}, {"M": {"n": {"N": "0"}}}]},
    }
    dynamodb.put_item(TableName=table, Item={**_key("a"), **values})

    item = dynamodb.get_item(TableName=table, Key=_key("a"), ConsistentRead=True)["Item"]

    assert {name: item[name] for name in values} == values
