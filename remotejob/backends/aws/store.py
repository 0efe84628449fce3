"""Records in DynamoDB."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final
from uuid import uuid4

from botocore.exceptions import ClientError

from remotejob.backends.aws.service import Service
from remotejob.domain.changes import Change, Condition
from remotejob.domain.conditions import Item, Value
from remotejob.domain.errors import StoreUnavailable, UnreadableItem
from remotejob.domain.ids import is_job_id
from remotejob.domain.record import JobRecord
from remotejob.domain.transactions import (
    Check,
    Conflict,
    Count,
    Erase,
    Key,
    Put,
    Step,
    checked_record,
    no_job_id,
    readable_note,
    readable_record,
    record_key,
    record_of,
)
from remotejob.domain.unreadable import SkippedItems
from remotejob.names import ATTENTION_INDEX, Field
from remotejob.ports import Clock, Mark, Refused, Updated

log = logging.getLogger(__name__)

READS_IN_A_BATCH: Final = 100
"""Source: Amazon DynamoDB, BatchGetItem."""

_WRITERS: Final = 8
"""Concurrent requests of `put_fresh`. At a few milliseconds per request this is as fast as one
thread can prepare them."""

_TRIES: Final = 6
_PASSING: Final = frozenset(
    {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
)
"""Cancellation reasons after which the same transaction can be retried."""


class _ConditionFailed(Exception):
    """The condition of a write did not hold."""

    def __init__(self, item: Mapping[str, Any] | None) -> None:
        self.item = item
        """The item that failed the condition, or None if there is none."""


class DynamoStore:
    """A `JobStore` in one DynamoDB table: one request per call, except for batches and listings."""

    def __init__(
        self,
        service: Service,
        table: str,
        clock: Clock,
        *,
        skipped: SkippedItems | None = None,
    ) -> None:
        """`skipped` counts what its readers leave out, because it cannot be read."""
        self._skipped = SkippedItems() if skipped is None else skipped
        self._service = service
        self._table = table
        self._clock = clock

    def put_new(self, record: JobRecord) -> Updated | Refused:
        request: dict[str, Any] = {
            "TableName": self._table,
            "Item": _encode(record.to_item()),
            "ConditionExpression": f"attribute_not_exists({Field.PK})",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        try:
            self._write(record.id, "PutItem", request)
        except _ConditionFailed as refusal:
            return Refused(_record_in(refusal.item))
        return Updated(record)

    def put_fresh(self, records: Sequence[JobRecord]) -> None:
        # not by BatchWriteItem, which knows no conditions: a batch that its client gave up on could
        # arrive after some of the jobs have ended, and make them ready again
        shares = [share for n in range(_WRITERS) if (share := records[n::_WRITERS])]
        if len(shares) <= 1:
            return self._put_share(records)
        with ThreadPoolExecutor(len(shares), thread_name_prefix="submit") as pool:
            # all are done before the first error is raised
            writing = [pool.submit(self._put_share, share) for share in shares]
        for written in writing:
            written.result()
        return None

    def _put_share(self, records: Sequence[JobRecord]) -> None:
        for record in records:
            # a refusal means that an earlier try, whose answer was lost, stored it
            self.put_new(record)

    def get(self, job_id: str) -> JobRecord | None:
        item = self.item(record_key(job_id)) if is_job_id(job_id) else None
        return None if item is None else checked_record(item)

    def item(self, key: Key) -> Item | None:
        answer = self._service.call(
            "GetItem", {"TableName": self._table, "Key": _key(key), "ConsistentRead": True}
        )
        return _decode(answer["Item"]) if "Item" in answer else None

    def get_many(self, job_ids: Sequence[str]) -> list[JobRecord]:
        found: list[JobRecord] = []
        # DynamoDB refuses a batch that repeats a key, and an index in motion can list one twice
        wanted = [job_id for job_id in dict.fromkeys(job_ids) if self._is_job_id(job_id)]
        for start in range(0, len(wanted), READS_IN_A_BATCH):
            keys = [_key(record_key(job_id)) for job_id in wanted[start : start + READS_IN_A_BATCH]]
            fruitless = 0
            while keys:
                if fruitless:
                    self._back_off(fruitless)
                asked = {self._table: {"Keys": keys, "ConsistentRead": True}}
                answer = self._service.call("BatchGetItem", {"RequestItems": asked})
                items = answer["Responses"].get(self._table, [])
                found += [record for item in items if (record := self._readable(item))]
                unread = answer.get("UnprocessedKeys")
                keys = [dict(key) for key in unread[self._table]["Keys"]] if unread else []
                fruitless = 0 if items else fruitless + 1
                if fruitless == _TRIES:
                    raise StoreUnavailable(
                        f"{len(keys)} records could not be read in {_TRIES} tries; try again"
                    )
        return found

    def _is_job_id(self, job_id: str) -> bool:
        if is_job_id(job_id):
            return True
        self._skipped.add(no_job_id(job_id))
        return False

    def _readable(self, item: Mapping[str, Any]) -> JobRecord | None:
        return readable_record(_decode(item), self._skipped)

    def update(self, change: Change) -> Updated | Refused:
        request = {**self._update(change), "ReturnValues": "ALL_NEW"}
        try:
            answer = self._write(change.job_id, "UpdateItem", request)
        except _ConditionFailed as refusal:
            return Refused(_record_in(refusal.item))
        return Updated(JobRecord.from_item(_decode(answer["Attributes"])))

    def _write(self, name: str, operation: str, request: Mapping[str, Any]) -> Any:
        """Write an item, retrying while a transaction holds it.

        Raises: _ConditionFailed; StoreUnavailable, when one did at every try.
        """
        for attempt in range(_TRIES):
            if attempt:
                self._back_off(attempt)
            try:
                return self._service.call(operation, request)
            except ClientError as refusal:
                if _code(refusal) == "ConditionalCheckFailedException":
                    raise _ConditionFailed(_response(refusal).get("Item")) from None
                if _wrong_type(_response(refusal)["Error"]):
                    raise _odd_item(request, refusal) from refusal
                if _code(refusal) != "TransactionConflictException":
                    raise
                log.debug("item is in a transaction; retrying", extra={"item": name})
        raise StoreUnavailable(
            f"{name} was in another transaction at each of {_TRIES} tries; try again"
        )

    def transact(self, steps: Sequence[Step]) -> Conflict | None:
        request: Any = [self._request(step) for step in steps]
        if len(steps) == 1 and not isinstance(steps[0], Check):
            return self._alone(request[0])
        for attempt in range(_TRIES):
            if attempt:
                self._back_off(attempt)
            # with the token, DynamoDB recognizes a resent try whose response was lost
            asked = {"TransactItems": request, "ClientRequestToken": str(uuid4())}
            try:
                self._service.call("TransactWriteItems", asked)
            except ClientError as refusal:
                if _code(refusal) != "TransactionCanceledException":
                    _raise_if_odd(request[0], refusal)
                    raise
                conflict = _conflict_in(request, refusal)
                if conflict is not None:
                    return conflict
            else:
                return None
        raise StoreUnavailable(f"a transaction met others at each of {_TRIES} tries; try again")

    def _alone(self, request: dict[str, Any]) -> Conflict | None:
        """Write one step without a transaction, which would cost twice as much."""
        ((kind, arguments),) = request.items()
        try:
            self._write(kind, f"{kind}Item", arguments)
        except _ConditionFailed as refusal:
            return Conflict(0, None if refusal.item is None else _decode(refusal.item))
        return None

    def _request(self, step: Step) -> dict[str, Any]:
        """The step in the form TransactWriteItems takes."""
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
        """The change in the form UpdateItem takes, alone or in a transaction."""
        shape = (
            tuple(change.set),
            tuple(change.set_once),
            # ADD takes numbers and sets alike
            (*change.add, *change.include),
            tuple(change.discard),
            change.remove,
        )
        update, condition, constants = _expressions(change.condition, *shape)
        values = {f":{name}": _typed(value) for name, value in change.values.items()}
        for written in (change.set, change.set_once, change.add, change.include, change.discard):
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
        request: dict[str, Any] = {
            "KeyConditionExpression": f"{Field.PK} = :pk AND begins_with({Field.SK}, :prefix)",
            "ExpressionAttributeValues": {":pk": _typed(partition), ":prefix": _typed(prefix)},
            "ConsistentRead": True,
        }
        if at_a_time is not None:
            request["Limit"] = at_a_time
        for item in self._query(request):
            yield item[Field.SK]["S"], _decode(item)

    def _query(self, request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the items found, reading page by page."""
        page: dict[str, Any] = {}
        while True:
            page = self._service.call("Query", {"TableName": self._table, **request, **page})
            yield from page["Items"]
            if not page.get("LastEvaluatedKey"):
                return
            page = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def attention(self, kind: str, shard: int, *, until_ms: int) -> Iterator[Mark]:
        request = {
            "IndexName": ATTENTION_INDEX,
            "KeyConditionExpression": (
                f"{Field.ATTENTION} = :kind AND {Field.ATTENTION_AT} <= :until"
            ),
            "ExpressionAttributeValues": {
                ":kind": {"S": f"{kind}#{shard}"},
                ":until": _typed(until_ms),
            },
        }
        for item in self._query(request):
            at_ms = item[Field.ATTENTION_AT].get("N")
            if at_ms is not None:
                yield Mark(item[Field.SK]["S"], int(at_ms))

    def listing(self, partition: str, *, after: str | None = None) -> Iterator[JobRecord]:
        condition, values = f"{Field.PK} = :pk", {":pk": _typed(partition)}
        if after is not None:
            condition += f" AND {Field.SK} > :after"
            values[":after"] = _typed(after)
        request = {
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": values,
            "ScanIndexForward": after is not None,
        }
        for item in self._query(request):
            if (record := self._readable(item)) is not None:
                yield record

    def put_note(self, job_id: str, name: str, content: str, *, expires_s: int) -> None:
        # notes get their own partition, so listing a day reads only records
        request: dict[str, Any] = {
            "TableName": self._table,
            "Item": {
                Field.PK: {"S": job_id},
                Field.SK: {"S": name},
                Field.CONTENT: {"S": content},
                Field.EXPIRES: _typed(expires_s),
            },
        }
        self._write(name, "PutItem", request)

    def notes(self, job_id: str, prefix: str) -> Iterator[tuple[str, str]]:
        for name, item in self.items(job_id, prefix):
            if (content := readable_note(job_id, name, item, self._skipped)) is not None:
                yield name, content

    def _back_off(self, attempt: int) -> None:
        # jittered, because other clients are throttled at the same moment
        self._clock.sleep(timedelta(seconds=random.uniform(0, 0.05 * 2**attempt)))  # noqa: S311


@lru_cache(maxsize=256)
def _expressions(
    condition: Condition,
    to_set: tuple[str, ...],
    to_set_once: tuple[str, ...],
    to_add: tuple[str, ...],
    to_discard: tuple[str, ...],
    to_remove: tuple[str, ...],
) -> tuple[str, str, Mapping[str, Any]]:
    """The expressions of a change. They depend only on its shape, so each shape is built once."""
    clauses = []
    assigned = [f"{name} = :{name}" for name in to_set]
    assigned += [f"{name} = if_not_exists({name}, :{name})" for name in to_set_once]
    if assigned:
        clauses.append("SET " + ", ".join(assigned))
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
    """An item's values; those of types that we never write stay as they are, for the reader."""
    decoded: dict[str, Value] = {}
    for name, typed in item.items():
        ((kind, value),) = typed.items()
        if kind == "S":
            decoded[name] = value
        elif kind == "N":
            try:
                decoded[name] = int(value)
            except ValueError:
                decoded[name] = typed
        else:
            decoded[name] = frozenset(value) if kind == "SS" else typed
    return decoded


def _conflict_in(request: Sequence[Mapping[str, Any]], refusal: ClientError) -> Conflict | None:
    """The step that refused a transaction; None if other writes were in its way, for another try.

    Raises: UnreadableItem, when an item of a step cannot be changed like this; the refusal itself,
    when no other try would help.
    """
    reasons = _response(refusal)["CancellationReasons"]
    for number, reason in enumerate(reasons):
        if reason["Code"] == "ConditionalCheckFailed":
            item = reason.get("Item")
            return Conflict(number, None if item is None else _decode(item))
        if _wrong_type(reason):
            (arguments,) = request[number].values()
            raise _odd_item(arguments, refusal) from refusal
    if not {reason["Code"] for reason in reasons} - {"None"} <= _PASSING:
        raise refusal
    return None


def _wrong_type(reason: Mapping[str, Any]) -> bool:
    """Whether an update was refused because an attribute has a type that it cannot add to.

    Source: Amazon DynamoDB, "Error handling", ValidationException; TransactWriteItems, the
    cancellation reason ValidationError.
    """
    message = str(reason.get("Message", "")).lower()
    return reason.get("Code") in ("ValidationException", "ValidationError") and (
        "incorrect data type" in message or "type mismatch" in message
    )


def _raise_if_odd(step: Mapping[str, Any], refusal: ClientError) -> None:
    """Raises: UnreadableItem, when a transaction was refused because of the type of an attribute.

    The answer does not say of which step; the first one changes the record.
    """
    if _wrong_type(_response(refusal)["Error"]):
        (arguments,) = step.values()
        raise _odd_item(arguments, refusal) from refusal


def _odd_item(request: Mapping[str, Any], refusal: ClientError) -> UnreadableItem:
    key = request.get("Key", {})
    partition, name = (key.get(field, {}).get("S", "") for field in (Field.PK, Field.SK))
    problem = f"one of its attributes has another type than ours ({_code(refusal)})"
    return UnreadableItem(partition, name, problem)


def _record_in(item: Mapping[str, Any] | None) -> JobRecord | None:
    return None if item is None else record_of(_decode(item))


def _code(refusal: ClientError) -> str:
    return refusal.response["Error"]["Code"]


def _response(refusal: ClientError) -> Any:
    """The response with all its fields, which botocore's stubs do not know."""
    return refusal.response
