"""Records in DynamoDB."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from remotejob.domain.changes import Change, Condition
from remotejob.domain.conditions import Item, Value
from remotejob.domain.errors import StoreUnavailable
from remotejob.domain.ids import partition_of
from remotejob.domain.record import JobRecord
from remotejob.names import ATTENTION_INDEX, Field
from remotejob.ports import Clock, Mark, Refused, Updated

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

WRITES_IN_A_BATCH: Final = 25
READS_IN_A_BATCH: Final = 100
"""Source: Amazon DynamoDB, BatchWriteItem and BatchGetItem."""

_TRIES: Final = 6
_NOTE: Final = "j_note"


class DynamoStore:
    """A `JobStore` in one DynamoDB table. One request a call, but for batches and listings."""

    def __init__(self, client: DynamoDBClient, table: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock

    def put_new(self, record: JobRecord) -> JobRecord | None:
        try:
            self._client.put_item(
                TableName=self._table,
                Item=_encode(record.to_item()),
                ConditionExpression=f"attribute_not_exists({Field.PK})",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as refusal:
            return _refusing(refusal.response)
        return None

    def put_fresh(self, records: Sequence[JobRecord]) -> list[str]:
        left = [_encode(record.to_item()) for record in records]
        unstored: list[dict[str, Any]] = []
        for start in range(0, len(left), WRITES_IN_A_BATCH):
            unstored += self._write_batch(left[start : start + WRITES_IN_A_BATCH])
        return [item[Field.SK]["S"] for item in unstored]

    def _write_batch(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for attempt in range(_TRIES):
            if attempt:
                self._back_off(attempt)
            answer = self._client.batch_write_item(
                RequestItems={self._table: [{"PutRequest": {"Item": item}} for item in items]}
            )
            refused = answer.get("UnprocessedItems", {}).get(self._table, [])
            items = [dict(request["PutRequest"]["Item"]) for request in refused]
            if not items:
                break
        return items

    def get(self, job_id: str) -> JobRecord | None:
        answer = self._client.get_item(TableName=self._table, Key=_key(job_id), ConsistentRead=True)
        return JobRecord.from_item(_decode(answer["Item"])) if "Item" in answer else None

    def get_many(self, job_ids: Sequence[str]) -> list[JobRecord]:
        found: list[JobRecord] = []
        # a key twice in a batch is refused; an index read while it moves can give one twice
        wanted = list(dict.fromkeys(job_ids))
        for start in range(0, len(wanted), READS_IN_A_BATCH):
            keys = [_key(job_id) for job_id in wanted[start : start + READS_IN_A_BATCH]]
            fruitless = 0
            while keys:
                if fruitless:
                    self._back_off(fruitless)
                answer = self._client.batch_get_item(
                    RequestItems={self._table: {"Keys": keys, "ConsistentRead": True}}
                )
                items = answer["Responses"].get(self._table, [])
                found += [JobRecord.from_item(_decode(item)) for item in items]
                unread = answer["UnprocessedKeys"]
                keys = [dict(key) for key in unread[self._table]["Keys"]] if unread else []
                fruitless = 0 if items else fruitless + 1
                if fruitless == _TRIES:
                    raise StoreUnavailable(f"{len(keys)} records not read in {_TRIES} tries")
        return found

    def update(self, change: Change) -> Updated | Refused:
        names = (tuple(change.set), tuple(change.add), change.remove)
        update, condition, constants = _expressions(change.condition, *names)
        values = {f":{name}": _typed(value) for name, value in change.values.items()}
        values |= {f":{name}": _typed(value) for name, value in change.set.items()}
        values |= {f":{name}": _typed(value) for name, value in change.add.items()}
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key=_key(change.job_id),
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeValues={**constants, **values},
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as refusal:
            return Refused(_refusing(refusal.response))
        return Updated(JobRecord.from_item(_decode(answer["Attributes"])))

    def attention(self, kind: str, shard: int, *, until_ms: int) -> Iterator[Mark]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName=ATTENTION_INDEX,
            KeyConditionExpression=(
                f"{Field.ATTENTION} = :kind AND {Field.ATTENTION_AT} <= :until"
            ),
            ExpressionAttributeValues={
                ":kind": {"S": f"{kind}#{shard}"},
                ":until": _typed(until_ms),
            },
        )
        for page in pages:
            for item in page["Items"]:
                yield Mark(item[Field.SK]["S"], int(item[Field.ATTENTION_AT]["N"]))

    def listing(self, partition: str, *, after: str | None = None) -> Iterator[JobRecord]:
        condition, values = f"{Field.PK} = :pk", {":pk": _typed(partition)}
        if after is not None:
            condition += f" AND {Field.SK} > :after"
            values[":after"] = _typed(after)
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            ScanIndexForward=after is not None,
        )
        for page in pages:
            for item in page["Items"]:
                yield JobRecord.from_item(_decode(item))

    def put_note(self, job_id: str, name: str, content: str, *, expires_s: int) -> None:
        # in a partition of their own: listings of a day read records alone
        self._client.put_item(
            TableName=self._table,
            Item={
                Field.PK: {"S": job_id},
                Field.SK: {"S": name},
                _NOTE: {"S": content},
                Field.EXPIRES: _typed(expires_s),
            },
        )

    def notes(self, job_id: str, prefix: str) -> Iterator[tuple[str, str]]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression=f"{Field.PK} = :pk AND begins_with({Field.SK}, :prefix)",
            ExpressionAttributeValues={":pk": _typed(job_id), ":prefix": _typed(prefix)},
            ConsistentRead=True,
        )
        for page in pages:
            for item in page["Items"]:
                yield item[Field.SK]["S"], item[_NOTE]["S"]

    def _back_off(self, attempt: int) -> None:
        # jittered, for whatever throttles us throttles others in step with us
        self._clock.sleep(timedelta(seconds=random.uniform(0, 0.05 * 2**attempt)))  # noqa: S311


@lru_cache(maxsize=256)
def _expressions(
    condition: Condition,
    to_set: tuple[str, ...],
    to_add: tuple[str, ...],
    to_remove: tuple[str, ...],
) -> tuple[str, str, Mapping[str, Any]]:
    """The expressions of a change. They follow from its shape alone, so they are made once."""
    clauses = []
    if to_set:
        clauses.append("SET " + ", ".join(f"{name} = :{name}" for name in to_set))
    if to_add:
        clauses.append("ADD " + ", ".join(f"{name} :{name}" for name in to_add))
    if to_remove:
        clauses.append("REMOVE " + ", ".join(to_remove))
    constants = {f":{name}": {"S": value} for name, value in condition.expression.constants()}
    return " ".join(clauses), condition.expression.text(), constants


def _key(job_id: str) -> dict[str, Any]:
    return {Field.PK: {"S": partition_of(job_id)}, Field.SK: {"S": job_id}}


def _typed(value: Value) -> dict[str, Any]:
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, int):
        return {"N": str(value)}
    return {"SS": sorted(value)}


def _encode(item: Item) -> dict[str, Any]:
    return {name: _typed(value) for name, value in item.items()}


def _decode(item: Mapping[str, Any]) -> dict[str, Value]:
    decoded: dict[str, Value] = {}
    for name, typed in item.items():
        ((kind, value),) = typed.items()
        decoded[name] = value if kind == "S" else int(value) if kind == "N" else frozenset(value)
    return decoded


def _refusing(response: Any) -> JobRecord | None:
    item = response.get("Item")
    return None if item is None else JobRecord.from_item(_decode(item))
