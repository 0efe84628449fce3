"""The rules refuse what DynamoDB refuses, one request a rule."""

from __future__ import annotations

from typing import Any

import pytest

from remotejob.names import ATTENTION_INDEX, Field
from tests.requests.rules import faults
from tests.requests.rules.model import faults_by_botocore

KEY = {"pk": {"S": "2026-11-30#1"}, "sk": {"S": "01"}}
PUT = {"TableName": "jobs", "Item": {**KEY, "j_state": {"S": "ready"}}}
UPDATE = {
    "TableName": "jobs",
    "Key": KEY,
    "UpdateExpression": "SET j_state = :new, j_run = if_not_exists(j_run, :run) REMOVE j_due",
    "ConditionExpression": "attribute_exists(pk) AND (j_state IN (:a, :b) OR NOT j_lease < :now)",
    "ExpressionAttributeValues": {
        ":new": {"S": "running"},
        ":run": {"S": "r"},
        ":a": {"S": "ready"},
        ":b": {"S": "waiting"},
        ":now": {"N": "5"},
    },
}
QUERY = {
    "TableName": "jobs",
    "KeyConditionExpression": "pk = :pk AND begins_with(sk, :prefix)",
    "ExpressionAttributeValues": {":pk": {"S": "day"}, ":prefix": {"S": "E#"}},
    "ConsistentRead": True,
}
CHECK = {"TableName": "jobs", "Key": KEY, "ConditionExpression": "attribute_exists(pk)"}


def other(number: int) -> dict[str, Any]:
    return {"pk": {"S": f"day#{number}"}, "sk": {"S": "01"}}


def transaction(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"TransactItems": list(steps), "ClientRequestToken": "a-token"}


GOOD = [
    ("PutItem", PUT),
    ("UpdateItem", UPDATE),
    ("UpdateItem", {"TableName": "jobs", "Key": KEY}),
    (
        "UpdateItem",
        {
            "TableName": "jobs",
            "Key": KEY,
            "UpdateExpression": "ADD n :one DELETE tags :gone SET #s.part[0] = #s.sum_of + :one",
            "ExpressionAttributeNames": {"#s": "status"},
            "ExpressionAttributeValues": {":one": {"N": "1"}, ":gone": {"SS": ["a"]}},
        },
    ),
    ("GetItem", {"TableName": "jobs", "Key": KEY, "ProjectionExpression": "j_state, j_run"}),
    ("Query", QUERY),
    (
        "Query",
        {
            "TableName": "jobs",
            "IndexName": "attention",
            "KeyConditionExpression": "attention = :kind AND attention_at BETWEEN :a AND :b",
            "ExpressionAttributeValues": {
                ":kind": {"S": "due#1"}, ":a": {"N": "1"}, ":b": {"N": "2"}
            },
        },
    ),
    ("BatchGetItem", {"RequestItems": {"jobs": {"Keys": [other(1), other(2)]}}}),
    ("TransactWriteItems", transaction({"Update": UPDATE}, {"Put": {**PUT, "Item": other(1)}})),
    ("TransactWriteItems", transaction({"ConditionCheck": CHECK})),
    ("BatchWriteItem", {"RequestItems": {"jobs": [{"DeleteRequest": {"Key": KEY}}]}}),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "request_"), GOOD)
def test_good_request_has_no_fault(operation: str, request_: dict[str, Any]) -> None:
    assert faults("dynamodb", operation, request_) == []
    assert faults_by_botocore("dynamodb", operation, request_) == []


def updated(**changes: Any) -> dict[str, Any]:
    return {**UPDATE, **changes}


def setting(text: str, **values: Any) -> dict[str, Any]:
    return {
        "TableName": "jobs",
        "Key": KEY,
        "UpdateExpression": text,
        "ExpressionAttributeValues": {f":{name}": value for name, value in values.items()},
    }


def putting(**attributes: Any) -> dict[str, Any]:
    return {"TableName": "jobs", "Item": {**KEY, **attributes}}


def on(**condition: Any) -> dict[str, Any]:
    return {**QUERY, **condition}


def asking(text: str) -> dict[str, Any]:
    return on(KeyConditionExpression=text)


def reading(*keys: dict[str, Any]) -> dict[str, Any]:
    return {"RequestItems": {"jobs": {"Keys": list(keys)}}}


def put_step(number: int, **attributes: Any) -> dict[str, Any]:
    return {"Put": {"TableName": "jobs", "Item": {**other(number), **attributes}}}


def many(count: int) -> dict[str, Any]:
    return setting("SET " + ",".join(f"n{number}=:a" for number in range(count)), a=ONE)


ONE = {"N": "1"}
VALUES: Any = UPDATE["ExpressionAttributeValues"]
DELETE = {"TableName": "jobs", "Key": KEY}
WITHOUT_NOW = {name: value for name, value in VALUES.items() if name != ":now"}
CHECKED = {"ConditionCheck": CHECK}

PUTS: dict[str, dict[str, Any]] = {
    "no name of a table": {**PUT, "TableName": "no table!"},
    "lacks Item": {"TableName": "jobs"},
    "has no Itm": {**PUT, "Itm": {}},
    "not one of": {**PUT, "ReturnValues": "EVERYTHING"},
    "not text": {**PUT, "TableName": 5},
    "cannot return": {**PUT, "ReturnValues": "ALL_NEW"},
    "empty set": putting(tags={"SS": []}),
    "a value twice": putting(tags={"SS": ["a", "a"]}),
    "no number": putting(n={"N": "1e"}),
    "digits": putting(n={"N": "1" * 39}),
    "beyond what a number": putting(n={"N": "1e126"}),
    "not one value": putting(n={"S": "a", "N": "1"}),
    "more than 409,600": putting(text={"S": "a" * 400 * 1024}),
    "sk has 1,025 bytes": putting(sk={"S": "a" * 1025}),
    "the index refuses": putting(**{Field.ATTENTION: {"S": ""}}),
}
UPDATES: dict[str, dict[str, Any]] = {
    "':left'": updated(ExpressionAttributeValues={**VALUES, ":left": ONE}),
    "'#left'": updated(ExpressionAttributeNames={"#left": "left"}),
    "lacks [':now']": updated(ExpressionAttributeValues=WITHOUT_NOW),
    "is empty": updated(ExpressionAttributeNames={}),
    "reserved word": setting("SET state = :a", a=ONE),
    "twice": setting("SET n = :a SET m = :a", a=ONE),
    "no clause": setting("PUT n = :a", a=ONE),
    "overlap": setting("SET j_map.a = :a REMOVE j_map", a=ONE),
    "part of the key": setting("SET sk = :a", a={"S": "02"}),
    "ADD takes no S": setting("ADD n :a", a={"S": "1"}),
    "DELETE takes no N": setting("DELETE n :a", a=ONE),
    "after its end": updated(ConditionExpression="attribute_exists(pk) j_state"),
    "ends too early": setting("SET n =", a=ONE),
    "no operator": updated(ConditionExpression="j_state LIKE :a"),
    "nothing that an expression has": setting("SET n = 'text'", a=ONE),
    "more than 4,096": many(800),
    "operators and functions": many(301),
    "of before them": updated(ConditionalOperator="AND"),
    "more than 100, in": updated(ConditionExpression=f"n IN ({','.join([':a'] * 101)})"),
}
QUERIES: dict[str, dict[str, Any]] = {
    "fewer than 1": on(Limit=0),
    "is consistent": on(IndexName=ATTENTION_INDEX),
    "must say what": asking("pk > :pk AND begins_with(sk, :prefix)"),
    "asks for each key once": asking("pk = :pk AND sk > :prefix AND sk < :pk"),
    "a filter cannot": on(FilterExpression="sk <> :pk"),
    "no key condition has": asking("pk = :pk AND contains(sk, :prefix)"),
    "no key condition": {"TableName": "jobs"},
    "starts after": on(ExclusiveStartKey={"pk": {"S": "day"}}),
}
TRANSACTIONS: dict[str, dict[str, Any]] = {
    "touches": transaction({"Update": UPDATE}, CHECKED),
    "101 members": transaction(*map(put_step, range(101))),
    "more than 4,194,304": transaction(*(put_step(n, t={"S": "a" * 399_000}) for n in range(11))),
    "lacks ConditionExpression": transaction({"ConditionCheck": DELETE}),
    "37 characters": {**transaction(CHECKED), "ClientRequestToken": "a" * 37},
    "not one action": transaction({"Delete": DELETE, **CHECKED}),
}
READS: dict[str, dict[str, Any]] = {
    "more than 100": reading(*map(other, range(101))),
    "2 times": reading(other(1), other(1)),
}
GETS: dict[str, dict[str, Any]] = {
    "pk has 0 bytes": {"TableName": "jobs", "Key": {**KEY, "pk": {"S": ""}}},
    "neither true": {"TableName": "jobs", "Key": KEY, "ConsistentRead": "yes"},
}
WRITES: dict[str, dict[str, Any]] = {
    "26": {"RequestItems": {"jobs": [{"DeleteRequest": {"Key": other(n)}} for n in range(26)]}},
}
BAD = [
    (operation, said, request)
    for operation, requests in {
        "PutItem": PUTS,
        "UpdateItem": UPDATES,
        "Query": QUERIES,
        "TransactWriteItems": TRANSACTIONS,
        "BatchGetItem": READS,
        "GetItem": GETS,
        "BatchWriteItem": WRITES,
    }.items()
    for said, request in requests.items()
]
"""Requests that DynamoDB refuses, by what a rule says of them."""


@pytest.mark.parametrize(("operation", "said", "request_"), BAD)
def test_bad_request_is_refused(operation: str, said: str, request_: dict[str, Any]) -> None:
    found = faults("dynamodb", operation, request_)

    assert any(said in fault for fault in found), found


def test_operation_that_the_service_has_not_is_refused() -> None:
    assert faults("dynamodb", "UpsertItem", {}) == ["dynamodb has no operation UpsertItem"]
