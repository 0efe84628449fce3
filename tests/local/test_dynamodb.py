"""Tables keep every acknowledged write, and transactions are all or nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from remotejob.local.embedded import EmbeddedAws

MakeTable = Callable[[], str]


@pytest.fixture
def dynamodb(aws: EmbeddedAws) -> Any:
    return aws.client("dynamodb")


def item(pk: str, sk: str = "0", **attributes: str) -> dict[str, Any]:
    return {name: {"S": value} for name, value in {"pk": pk, "sk": sk, **attributes}.items()}


def read(dynamodb: Any, table: str, pk: str, sk: str = "0") -> Any:
    return dynamodb.get_item(TableName=table, Key=item(pk, sk), ConsistentRead=True).get("Item")


def refused_put(table: str, pk: str) -> dict[str, Any]:
    condition = {"ConditionExpression": "attribute_exists(nothing)"}
    return {"Put": {"TableName": table, "Item": item(pk, v="new"), **condition}}


@pytest.mark.exhaustive
def test_refused_transactions_lose_no_write_acknowledged_meanwhile(
    dynamodb: Any, make_table: MakeTable
) -> None:
    table = make_table()
    dynamodb.put_item(TableName=table, Item=item("hot"))
    stop = threading.Event()

    def refuse() -> None:
        while not stop.is_set():
            with pytest.raises(ClientError):
                dynamodb.transact_write_items(TransactItems=[refused_put(table, "hot")])

    refusing = [threading.Thread(target=refuse) for _ in range(3)]
    for thread in refusing:
        thread.start()
    for n in range(200):
        dynamodb.put_item(TableName=table, Item=item(f"p{n}"))
    stop.set()
    for thread in refusing:
        thread.join()
    assert [n for n in range(200) if read(dynamodb, table, f"p{n}") is None] == []


def test_refused_transaction_changes_nothing_and_says_why(
    dynamodb: Any, make_table: MakeTable
) -> None:
    table = make_table()
    dynamodb.put_item(TableName=table, Item=item("b", v="old"))
    refused = refused_put(table, "b")
    refused["Put"]["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    with pytest.raises(ClientError) as error:
        dynamodb.transact_write_items(
            TransactItems=[{"Put": {"TableName": table, "Item": item("a")}}, refused]
        )
    reasons: Any = error.value.response["CancellationReasons"]
    assert [r["Code"] for r in reasons] == ["None", "ConditionalCheckFailed"]
    assert reasons[1]["Item"]["v"] == {"S": "old"}
    assert read(dynamodb, table, "a") is None
    assert read(dynamodb, table, "b")["v"] == {"S": "old"}


def test_transaction_carries_out_every_kind_of_step(dynamodb: Any, make_table: MakeTable) -> None:
    table = make_table()
    for pk in ("deleted", "checked"):
        dynamodb.put_item(TableName=table, Item=item(pk))
    dynamodb.transact_write_items(
        TransactItems=[
            {"Put": {"TableName": table, "Item": item("put")}},
            {"Delete": {"TableName": table, "Key": item("deleted")}},
            {
                "Update": {
                    "TableName": table,
                    "Key": item("updated"),
                    "UpdateExpression": "SET #v = :v",
                    "ConditionExpression": "attribute_not_exists(#v)",
                    "ExpressionAttributeNames": {"#v": "v"},
                    "ExpressionAttributeValues": {":v": {"S": "1"}},
                }
            },
            {
                "ConditionCheck": {
                    "TableName": table,
                    "Key": item("checked"),
                    "ConditionExpression": "attribute_exists(pk)",
                }
            },
        ]
    )
    assert read(dynamodb, table, "put") is not None
    assert read(dynamodb, table, "deleted") is None
    assert read(dynamodb, table, "updated")["v"] == {"S": "1"}


def test_step_that_fails_to_apply_undoes_those_before_it(
    dynamodb: Any, make_table: MakeTable
) -> None:
    table = make_table()
    dynamodb.put_item(TableName=table, Item=item("text", v="not a number"))
    with pytest.raises(ClientError):
        dynamodb.transact_write_items(
            TransactItems=[
                {"Put": {"TableName": table, "Item": item("first", ak="x")}},
                {
                    "Update": {
                        "TableName": table,
                        "Key": item("text"),
                        "UpdateExpression": "ADD v :n",
                        "ExpressionAttributeValues": {":n": {"N": "1"}},
                    }
                },
            ]
        )
    assert read(dynamodb, table, "first") is None
    assert query(dynamodb, table, "x", index="attention") == []


def test_same_request_token_carries_a_transaction_out_once(
    dynamodb: Any, make_table: MakeTable
) -> None:
    table = make_table()
    step = {
        "Update": {
            "TableName": table,
            "Key": item("counter"),
            "UpdateExpression": "ADD n :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }
    }
    for _ in range(2):
        dynamodb.transact_write_items(TransactItems=[step], ClientRequestToken="same")
    assert read(dynamodb, table, "counter")["n"] == {"N": "1"}
    with pytest.raises(ClientError) as mismatch:
        dynamodb.transact_write_items(
            TransactItems=[{"Put": {"TableName": table, "Item": item("x")}}],
            ClientRequestToken="same",
        )
    assert mismatch.value.response["Error"]["Code"] == "IdempotentParameterMismatchException"


def test_one_of_many_racing_conditional_updates_wins(dynamodb: Any, make_table: MakeTable) -> None:
    table = make_table()
    dynamodb.put_item(TableName=table, Item=item("job"))
    won: list[int] = []

    def claim(n: int) -> None:
        try:
            dynamodb.update_item(
                TableName=table,
                Key=item("job"),
                UpdateExpression="SET #o = :o",
                ConditionExpression="attribute_not_exists(#o)",
                ExpressionAttributeNames={"#o": "holder"},
                ExpressionAttributeValues={":o": {"S": str(n)}},
            )
        except ClientError:
            return
        won.append(n)

    threads = [threading.Thread(target=claim, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert read(dynamodb, table, "job")["holder"] == {"S": str(won[0])}


def test_failed_condition_returns_the_item_that_refused(
    dynamodb: Any, make_table: MakeTable
) -> None:
    table = make_table()
    dynamodb.put_item(TableName=table, Item=item("a", v="mine"))
    with pytest.raises(ClientError) as refused:
        dynamodb.put_item(
            TableName=table,
            Item=item("a", v="yours"),
            ConditionExpression="attribute_not_exists(pk)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    assert refused.value.response["Item"]["v"] == {"S": "mine"}  # type: ignore[typeddict-item]


def query(
    dynamodb: Any, table: str, value: str, *, index: str | None = None, **options: Any
) -> list[str]:
    condition = {
        "KeyConditionExpression": "#k = :k",
        "ExpressionAttributeNames": {"#k": "ak" if index else "pk"},
        "ExpressionAttributeValues": {":k": {"S": value}},
    }
    if index:
        options["IndexName"] = index
    pages = dynamodb.get_paginator("query").paginate(TableName=table, **condition, **options)
    return [f"{i['pk']['S']}/{i['sk']['S']}" for page in pages for i in page["Items"]]


def test_query_reads_one_partition_in_order_and_pages(dynamodb: Any, make_table: MakeTable) -> None:
    table = make_table()
    for pk in ("a", "b"):
        for sk in ("3", "1", "2"):
            dynamodb.put_item(TableName=table, Item=item(pk, sk))
    assert query(dynamodb, table, "a") == ["a/1", "a/2", "a/3"]
    assert query(dynamodb, table, "a", ScanIndexForward=False) == ["a/3", "a/2", "a/1"]
    assert query(dynamodb, table, "b", Limit=1) == ["b/1", "b/2", "b/3"]
    assert query(dynamodb, table, "c") == []


def test_sparse_index_follows_every_kind_of_write(dynamodb: Any, make_table: MakeTable) -> None:
    table = make_table()
    assert query(dynamodb, table, "due", index="attention") == []
    dynamodb.put_item(TableName=table, Item=item("put", ak="due"))
    dynamodb.update_item(
        TableName=table,
        Key=item("updated"),
        UpdateExpression="SET ak = :a",
        ExpressionAttributeValues={":a": {"S": "due"}},
    )
    dynamodb.batch_write_item(RequestItems={table: [{"PutRequest": {"Item": item("b", ak="due")}}]})
    dynamodb.transact_write_items(
        TransactItems=[{"Put": {"TableName": table, "Item": item("t", ak="due")}}]
    )
    found = query(dynamodb, table, "due", index="attention")
    assert sorted(found) == ["b/0", "put/0", "t/0", "updated/0"]
    assert sorted(query(dynamodb, table, "due", index="attention", Limit=1)) == sorted(found)
    dynamodb.update_item(TableName=table, Key=item("updated"), UpdateExpression="REMOVE ak")
    dynamodb.delete_item(TableName=table, Key=item("put"))
    dynamodb.put_item(TableName=table, Item=item("b", ak="later"))
    assert query(dynamodb, table, "due", index="attention") == ["t/0"]
    assert query(dynamodb, table, "later", index="attention") == ["b/0"]


def test_expiry_attribute_of_the_template_is_set(aws: EmbeddedAws, dynamodb: Any) -> None:
    table = aws.deployment.one("AWS::DynamoDB::Table").physical_id
    described = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    assert described == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}
