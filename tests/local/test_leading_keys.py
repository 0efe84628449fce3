"""Policies that speak of partition keys are enforced as DynamoDB's guide says."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from remotejob.local.embedded import EmbeddedAws

Request = Callable[[Any, str], object]

POLICY = {
    "Effect": "Allow",
    "Action": "dynamodb:*",
    "Resource": "*",
    "Condition": {
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["mine#*"]},
        "Null": {"dynamodb:LeadingKeys": "false"},
    },
}


@pytest.fixture(scope="module")
def table(aws: EmbeddedAws) -> str:
    name = f"keys-{uuid.uuid4().hex[:8]}"
    aws.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[
            {"AttributeName": "owner", "KeyType": "HASH"},
            {"AttributeName": "pk", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("owner", "pk")],
        BillingMode="PAY_PER_REQUEST",
        GlobalSecondaryIndexes=[
            {
                "IndexName": "turned",
                "KeySchema": [
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": "owner", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )
    return name


@pytest.fixture(scope="module")
def mine(aws: EmbeddedAws) -> Any:
    """DynamoDB as somebody who may do all, with keys that begin with `mine#` alone."""
    iam, name = aws.client("iam"), f"user-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    document = json.dumps({"Version": "2012-10-17", "Statement": [POLICY]})
    iam.put_user_policy(UserName=name, PolicyName="keys", PolicyDocument=document)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return boto3.client(
        "dynamodb",
        endpoint_url=aws.endpoint_url,
        region_name=aws.region,
        aws_access_key_id=made["AccessKeyId"],
        aws_secret_access_key=made["SecretAccessKey"],
        config=Config(retries={"total_max_attempts": 1}),
    )


def key(owner: str, pk: str = "mine#decoy") -> dict[str, Any]:
    """The sort key is called and looks like a partition key, and is none."""
    return {"owner": {"S": owner}, "pk": {"S": pk}}


def query(condition: str, **more: Any) -> Callable[[str], Request]:
    return lambda owner: (
        lambda c, table: c.query(
            TableName=table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues={":o": {"S": owner}, **more.get("values", {})},
            **({"ExpressionAttributeNames": more["names"]} if "names" in more else {}),
        )
    )


def transaction(kind: str) -> Callable[[str], Request]:
    parts: dict[str, Callable[[str], dict[str, Any]]] = {
        "Put": lambda owner: {"Item": key(owner)},
        "Update": lambda owner: {
            "Key": key(owner),
            "UpdateExpression": "SET a = :a",
            "ExpressionAttributeValues": {":a": {"S": "1"}},
        },
        "Delete": lambda owner: {"Key": key(owner)},
        "ConditionCheck": lambda owner: {
            "Key": key(owner),
            "ConditionExpression": "attribute_not_exists(nothing)",
        },
    }
    part = parts[kind]
    other = {"Key": key("mine#other"), "ConditionExpression": "attribute_not_exists(nothing)"}
    return lambda owner: (
        lambda c, table: c.transact_write_items(
            TransactItems=[
                {"ConditionCheck": {"TableName": table, **other}},
                {kind: {"TableName": table, **part(owner)}},
            ]
        )
    )


REQUESTS: dict[str, Callable[[str], Request]] = {
    "PutItem": lambda o: lambda c, t: c.put_item(TableName=t, Item=key(o)),
    "GetItem": lambda o: lambda c, t: c.get_item(TableName=t, Key=key(o)),
    "UpdateItem": lambda o: (
        lambda c, t: c.update_item(
            TableName=t, Key=key(o), AttributeUpdates={"a": {"Value": {"S": "1"}}}
        )
    ),
    "DeleteItem": lambda o: lambda c, t: c.delete_item(TableName=t, Key=key(o)),
    "Query": query("owner = :o"),
    "Query with a sort key": query(
        "begins_with(pk, :p) AND #o=:o", names={"#o": "owner"}, values={":p": {"S": "mine#"}}
    ),
    "Query in the old form": lambda o: (
        lambda c, t: c.query(
            TableName=t,
            KeyConditions={"owner": {"AttributeValueList": [{"S": o}], "ComparisonOperator": "EQ"}},
        )
    ),
    "Query of an index": lambda o: (
        lambda c, t: c.query(
            TableName=t,
            IndexName="turned",
            KeyConditionExpression="pk = :pk AND owner = :o",
            ExpressionAttributeValues={":pk": {"S": o}, ":o": {"S": "mine#decoy"}},
        )
    ),
    "BatchGetItem": lambda o: (
        lambda c, t: c.batch_get_item(RequestItems={t: {"Keys": [key("mine#other"), key(o)]}})
    ),
    "BatchWriteItem, put": lambda o: (
        lambda c, t: c.batch_write_item(
            RequestItems={
                t: [{"PutRequest": {"Item": key("mine#other")}}, {"PutRequest": {"Item": key(o)}}]
            }
        )
    ),
    "BatchWriteItem, delete": lambda o: (
        lambda c, t: c.batch_write_item(
            RequestItems={
                t: [{"PutRequest": {"Item": key("mine#b")}}, {"DeleteRequest": {"Key": key(o)}}]
            }
        )
    ),
    "TransactGetItems": lambda o: (
        lambda c, t: c.transact_get_items(
            TransactItems=[{"Get": {"TableName": t, "Key": key(one)}} for one in ("mine#other", o)]
        )
    ),
    **{
        f"TransactWriteItems, {kind}": transaction(kind)
        for kind in ("Put", "Update", "Delete", "ConditionCheck")
    },
}


@pytest.mark.refused_by_aws  # `owner`, a reserved word, for what reads it must bear any name
@pytest.mark.parametrize("request_name", REQUESTS)
def test_each_partition_key_of_a_request_is_compared(
    request_name: str, mine: Any, table: str
) -> None:
    REQUESTS[request_name]("mine#1")(mine, table)

    with pytest.raises(ClientError) as refusal:
        REQUESTS[request_name]("theirs#1")(mine, table)

    assert refusal.value.response["Error"]["Code"] == "AccessDeniedException"


@pytest.mark.refused_by_aws
@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(lambda c, t: c.scan(TableName=t), id="a scan has none"),
        pytest.param(
            lambda c, t: c.query(
                TableName=t,
                KeyConditionExpression="owner = :absent",
                ExpressionAttributeValues={":o": {"S": "mine#1"}},
            ),
            id="a value that is not there",
        ),
        *(
            pytest.param(
                lambda c, t, condition=condition, name=name: c.query(
                    TableName=t,
                    KeyConditionExpression=condition,
                    ExpressionAttributeValues={":o": {"S": "mine#1"}, name: {"S": "theirs#1"}},
                ),
                id=condition,
            )
            for condition, name in (
                ("owner = :o-x", ":o-x"),
                ("owner = :o.x", ":o.x"),
                ("owner = :o AND owner = theirs#1 ", ":p"),
                ("owner = :o AND owner = :p", ":p"),
                ("owner = :p AND owner = :o", ":p"),
            )
        ),
        pytest.param(
            lambda c, t: c.get_item(TableName="of-nobody", Key=key("mine#1")), id="no such table"
        ),
        pytest.param(
            lambda c, t: c.put_item(TableName=t, Item={"pk": {"S": "mine#1"}}),
            id="the sort key alone",
        ),
    ],
)
def test_without_a_partition_key_a_request_is_refused(
    request_: Request, mine: Any, table: str
) -> None:
    with pytest.raises(ClientError) as refusal:
        request_(mine, table)

    assert refusal.value.response["Error"]["Code"] == "AccessDeniedException"
