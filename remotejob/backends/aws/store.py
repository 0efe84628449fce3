"""Records in DynamoDB."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from remotejob.domain.changes import Change, Condition
from remotejob.domain.conditions import Item, Value
from remotejob.domain.errors import StoreUnavailable
from remotejob.domain.items import (
    Check,
    Conflict,
    Count,
    Erase,
    Key,
    Put,
    Step,
    record_key,
    record_of,
    text,
)
from remotejob.domain.record import JobRecord
from remotejob.names import ATTENTION_INDEX, Field
from remotejob.ports import Clock, Mark, Refused, Updated

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import PutItemInputTypeDef

log = logging.getLogger(__name__)
T = TypeVar("T")

WRITES_IN_A_BATCH: Final = 25
READS_IN_A_BATCH: Final = 100
"""Source: Amazon DynamoDB, BatchWriteItem and BatchGetItem."""

_TRIES: Final = 6
_PASSING: Final = frozenset(
    {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
)
"""Reasons for which a transaction may be tried again as it is."""


class DynamoStore:
    """A `JobStore` in one DynamoDB table. One request a call, but for batches and listings."""

    def __init__(self, client: DynamoDBClient, table: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock

    def put_new(self, record: JobRecord) -> Updated | Refused:
        request: PutItemInputTypeDef = {
            "TableName": self._table,
            "Item": _encode(record.to_item()),
            "ConditionExpression": f"attribute_not_exists({Field.PK})",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        try:
            self._once_free(record.id, lambda: self._client.put_item(**request))
        except self._client.exceptions.ConditionalCheckFailedException as refusal:
            return Refused(_refusing(refusal.response))
        return Updated(record)

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
        item = self.item(record_key(job_id))
        return None if item is None else record_of(item)

    def item(self, key: Key) -> Item | None:
        answer = self._client.get_item(TableName=self._table, Key=_key(key), ConsistentRead=True)
        return _decode(answer["Item"]) if "Item" in answer else None

    def get_many(self, job_ids: Sequence[str]) -> list[JobRecord]:
        found: list[JobRecord] = []
        # a key twice in a batch is refused; an index read while it moves can give one twice
        wanted = list(dict.fromkeys(job_ids))
        for start in range(0, len(wanted), READS_IN_A_BATCH):
            keys = [_key(record_key(job_id)) for job_id in wanted[start : start + READS_IN_A_BATCH]]
            fruitless = 0
            while keys:
                if fruitless:
                    self._back_off(fruitless)
                answer = self._client.batch_get_item(
                    RequestItems={self._table: {"Keys": keys, "ConsistentRead": True}}
                )
                items = answer["Responses"].get(self._table, [])
                found += [record for item in items if (record := record_of(_decode(item)))]
                unread = answer["UnprocessedKeys"]
                keys = [dict(key) for key in unread[self._table]["Keys"]] if unread else []
                fruitless = 0 if items else fruitless + 1
                if fruitless == _TRIES:
                    raise StoreUnavailable(f"{len(keys)} records not read in {_TRIES} tries")
        return found

    def update(self, change: Change) -> Updated | Refused:
        request = self._update(change)
        try:
            answer = self._once_free(
                change.job_id,
                lambda: self._client.update_item(**request, ReturnValues="ALL_NEW"),
            )
        except self._client.exceptions.ConditionalCheckFailedException as refusal:
            return Refused(_refusing(refusal.response))
        return Updated(JobRecord.from_item(_decode(answer["Attributes"])))

    def _once_free(self, name: str, write: Callable[[], T]) -> T:
        """Write an item when no transaction is at it."""
        for attempt in range(_TRIES):
            if attempt:
                self._back_off(attempt)
            try:
                return write()
            except self._client.exceptions.TransactionConflictException:
                log.debug("item in a transaction at this moment", extra={"item": name})
        raise StoreUnavailable(f"{name} was in transactions each of {_TRIES} times; try again")

    def transact(self, steps: Sequence[Step]) -> Conflict | None:
        request: Any = [self._request(step) for step in steps]
        if len(steps) == 1 and not isinstance(steps[0], Check):
            return self._alone(request[0])
        for attempt in range(_TRIES):
            if attempt:
                self._back_off(attempt)
            try:
                self._client.transact_write_items(TransactItems=request)
            except self._client.exceptions.TransactionCanceledException as refusal:
                reasons = refusal.response["CancellationReasons"]
                for number, reason in enumerate(reasons):
                    if reason["Code"] == "ConditionalCheckFailed":
                        item = reason.get("Item")
                        return Conflict(number, None if item is None else _decode(item))
                codes = {reason["Code"] for reason in reasons} - {"None"}
                if not codes <= _PASSING:
                    raise
            else:
                return None
        raise StoreUnavailable(f"a transaction met others each of {_TRIES} times; try again")

    def _alone(self, request: dict[str, Any]) -> Conflict | None:
        """One step needs no transaction, which costs twice as much."""
        ((kind, arguments),) = request.items()
        writes: dict[str, Callable[..., Any]] = {
            "Put": self._client.put_item,
            "Update": self._client.update_item,
            "Delete": self._client.delete_item,
        }
        try:
            self._once_free(kind, lambda: writes[kind](**arguments))
        except self._client.exceptions.ConditionalCheckFailedException as refusal:
            answer: Any = refusal.response
            return Conflict(0, _decode(answer["Item"]) if "Item" in answer else None)
        return None

    def _request(self, step: Step) -> dict[str, Any]:
        """A step as TransactWriteItems takes it."""
        if isinstance(step, Change):
            return {"Update": self._update(step)}
        request: dict[str, Any] = {"TableName": self._table}
        values = {f":{name}": _typed(value) for name, value in step.values.items()}
        if step.condition is not None:
            expression = step.condition.expression
            request["ConditionExpression"] = expression.text()
            request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
            values |= {f":{name}": {"S": value} for name, value in expression.constants()}
        if isinstance(step, Count):
            request["UpdateExpression"] = "ADD " + ", ".join(f"{name} :{name}" for name in step.add)
            values |= {f":{name}": _typed(value) for name, value in step.add.items()}
        if values:
            request["ExpressionAttributeValues"] = values
        match step:
            case Put():
                place: Item = {Field.PK: step.key.partition, Field.SK: step.key.name}
                return {"Put": {**request, "Item": _encode({**step.content, **place})}}
            case Erase():
                return {"Delete": {**request, "Key": _key(step.key)}}
            case Check():
                return {"ConditionCheck": {**request, "Key": _key(step.key)}}
            case Count():
                return {"Update": {**request, "Key": _key(step.key)}}

    def _update(self, change: Change) -> dict[str, Any]:
        """A change as UpdateItem takes it, alone or in a transaction."""
        shape = (tuple(change.set), tuple(change.add), tuple(change.discard), change.remove)
        update, condition, constants = _expressions(change.condition, *shape)
        values = {f":{name}": _typed(value) for name, value in change.values.items()}
        for written in (change.set, change.add, change.discard):
            values |= {f":{name}": _typed(value) for name, value in written.items()}
        return {
            "TableName": self._table,
            "Key": _key(record_key(change.job_id)),
            "UpdateExpression": update,
            "ConditionExpression": condition,
            "ExpressionAttributeValues": {**constants, **values},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }

    def items(
        self, partition: str, prefix: str, *, at_a_time: int | None = None
    ) -> Iterator[tuple[str, Item]]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression=f"{Field.PK} = :pk AND begins_with({Field.SK}, :prefix)",
            ExpressionAttributeValues={":pk": _typed(partition), ":prefix": _typed(prefix)},
            ConsistentRead=True,
            PaginationConfig={} if at_a_time is None else {"PageSize": at_a_time},
        )
        for page in pages:
            for item in page["Items"]:
                yield item[Field.SK]["S"], _decode(item)

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
                if (record := record_of(_decode(item))) is not None:
                    yield record

    def put_note(self, job_id: str, name: str, content: str, *, expires_s: int) -> None:
        # in a partition of their own: listings of a day read records alone
        request: PutItemInputTypeDef = {
            "TableName": self._table,
            "Item": {
                Field.PK: {"S": job_id},
                Field.SK: {"S": name},
                Field.CONTENT: {"S": content},
                Field.EXPIRES: _typed(expires_s),
            },
        }
        self._once_free(name, lambda: self._client.put_item(**request))

    def notes(self, job_id: str, prefix: str) -> Iterator[tuple[str, str]]:
        for name, item in self.items(job_id, prefix):
            yield name, text(item[Field.CONTENT])

    def _back_off(self, attempt: int) -> None:
        # jittered, for whatever throttles us throttles others in step with us
        self._clock.sleep(timedelta(seconds=random.uniform(0, 0.05 * 2**attempt)))  # noqa: S311


@lru_cache(maxsize=256)
def _expressions(
    condition: Condition,
    to_set: tuple[str, ...],
    to_add: tuple[str, ...],
    to_discard: tuple[str, ...],
    to_remove: tuple[str, ...],
) -> tuple[str, str, Mapping[str, Any]]:
    """The expressions of a change. They follow from its shape alone, so they are made once."""
    clauses = []
    if to_set:
        clauses.append("SET " + ", ".join(f"{name} = :{name}" for name in to_set))
    if to_add:
        clauses.append("ADD " + ", ".join(f"{name} :{name}" for name in to_add))
    if to_discard:
        clauses.append("DELETE " + ", ".join(f"{name} :{name}" for name in to_discard))
    if to_remove:
        clauses.append("REMOVE " + ", ".join(to_remove))
    constants = {f":{name}": {"S": value} for name, value in condition.expression.constants()}
    return " ".join(clauses), condition.expression.text(), constants


def _key(key: Key) -> dict[str, Any]:
    return {Field.PK: {"S": key.partition}, Field.SK: {"S": key.name}}


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
    return None if item is None else record_of(_decode(item))
