"""What DynamoDB would bill for is counted where it arrives: units by size, and index writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from remotejob.local.access.calls import Call
from remotejob.local.embedded import EmbeddedAws
from remotejob.local.metering import Meter

ME = "administrator"


@pytest.fixture
def dynamodb(aws: EmbeddedAws) -> Any:
    return aws.client("dynamodb")


@pytest.fixture
def table(aws: EmbeddedAws, dynamodb: Any, request: pytest.FixtureRequest) -> str:
    name: str = request.node.name
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": key, "AttributeType": "S"} for key in ("pk", "due", "kind")
        ],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "attention",
                "KeySchema": [
                    {"AttributeName": "kind", "KeyType": "HASH"},
                    {"AttributeName": "due", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )
    aws.reset_requests()
    return name


def strings(**values: str) -> dict[str, Any]:
    return {name: {"S": value} for name, value in values.items()}


def update(dynamodb: Any, table: str, pk: str, expression: str, **values: str) -> None:
    dynamodb.update_item(
        TableName=table,
        Key=strings(pk=pk),
        UpdateExpression=expression,
        ExpressionAttributeValues={f":{name}": value for name, value in strings(**values).items()},
    )


def test_each_write_is_a_unit_per_kilobyte_of_the_whole_item(
    aws: EmbeddedAws, dynamodb: Any, table: str
) -> None:
    # the names and the values: 2 + 1 and 1 + 1,020 bytes are 1,024
    dynamodb.put_item(TableName=table, Item=strings(pk="a", v="x" * 1020))
    assert aws.units() == {("write units", ME): 1}

    # a byte more, though the update names another attribute
    update(dynamodb, table, "a", "SET w = :w", w="")
    assert aws.units() == {("write units", ME): 3}


def test_smaller_item_is_billed_as_large_as_it_was(
    aws: EmbeddedAws, dynamodb: Any, table: str
) -> None:
    dynamodb.put_item(TableName=table, Item=strings(pk="a", v="x" * 3000))
    aws.reset_requests()

    dynamodb.delete_item(TableName=table, Key=strings(pk="a"))

    assert aws.units() == {("write units", ME): 3}


def test_transaction_costs_twice_and_a_batch_its_items(
    aws: EmbeddedAws, dynamodb: Any, table: str
) -> None:
    dynamodb.batch_write_item(
        RequestItems={table: [{"PutRequest": {"Item": strings(pk=pk)}} for pk in "abc"]}
    )
    assert aws.units() == {("write units", ME): 3}
    aws.reset_requests()

    dynamodb.transact_write_items(
        TransactItems=[{"Put": {"TableName": table, "Item": strings(pk="d")}}]
    )
    assert aws.units() == {("write units", ME): 2}


def test_refused_condition_is_billed(aws: EmbeddedAws, dynamodb: Any, table: str) -> None:
    with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException):
        dynamodb.put_item(
            TableName=table, Item=strings(pk="a"), ConditionExpression="attribute_exists(pk)"
        )

    assert aws.units() == {("write units", ME): 1}


def test_index_is_written_when_its_keys_change_alone(
    aws: EmbeddedAws, dynamodb: Any, table: str
) -> None:
    def index_writes() -> float:
        counted = aws.units().get(("index writes", ME), 0)
        aws.reset_requests()
        return counted

    dynamodb.put_item(TableName=table, Item=strings(pk="a"))
    without = index_writes()
    dynamodb.put_item(TableName=table, Item=strings(pk="a", kind="k", due="1"))
    new = index_writes()
    update(dynamodb, table, "a", "SET v = :v", v="other")
    stoppable = index_writes()
    update(dynamodb, table, "a", "SET due = :due", due="2")
    moved = index_writes()
    dynamodb.delete_item(TableName=table, Key=strings(pk="a"))
    gone = index_writes()

    assert (without, new, stoppable, moved, gone) == (0, 1, 0, 2, 1)


def test_consistent_read_costs_twice(aws: EmbeddedAws, dynamodb: Any, table: str) -> None:
    dynamodb.get_item(TableName=table, Key=strings(pk="a"))
    dynamodb.get_item(TableName=table, Key=strings(pk="a"), ConsistentRead=True)

    assert aws.units() == {("read units", ME): 1.5}


def test_item_without_its_key_is_refused_and_not_billed(
    aws: EmbeddedAws, dynamodb: Any, table: str
) -> None:
    with pytest.raises(dynamodb.exceptions.ClientError) as refused:
        dynamodb.put_item(TableName=table, Item=strings(wrong="a"))

    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert aws.units() == {}


def test_receive_that_brings_a_message_is_told_from_an_idle_poll(
    aws: EmbeddedAws, make_queue: Callable[..., str]
) -> None:
    sqs, queue = aws.client("sqs"), make_queue()
    aws.reset_requests()

    def receive() -> None:
        sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=0)

    receive()
    assert aws.receives_with_messages() == {}, "there was nothing to bring"
    # what the message says is no answer's mark
    sqs.send_message(QueueUrl=queue, MessageBody="ReceiptHandle")
    receive()
    receive()

    assert aws.receives_with_messages() == {ME: 1}
    assert aws.requests()["sqs", "ReceiveMessage", ME] == 3
    aws.reset_requests()
    assert aws.receives_with_messages() == {}


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("PutItem", {"TableName": "t"}),
        ("UpdateItem", {"TableName": "t", "Key": None}),
        ("BatchWriteItem", {"RequestItems": ["t"]}),
        ("GetItem", {}),
    ],
)
def test_what_is_no_request_at_all_is_not_metered(
    operation: str, parameters: dict[str, Any]
) -> None:
    meter = Meter("123456789012")
    call = Call(
        service="dynamodb",
        operation=operation,
        region="eu-west-1",
        account="123456789012",
        parameters=parameters,
        query={},
        headers={},
        body=b"",
    )

    meter.before(call, ME)()

    assert meter.counts() == []
