"""DynamoDB: one request at a time, and transactions that undo only what they touched.

What moto does: a TransactWriteItems copies the whole table first. If refused, it restores that
copy and so loses writes acknowledged meanwhile. An update that fails half-way leaves the item half
changed. A query sorts and scans the whole table. ClientRequestToken is ignored.

What AWS does: DynamoDB Developer Guide, "Amazon DynamoDB Transactions: How it works": it checks all
conditions against the state before, then writes everything or nothing; a token makes the request
idempotent for ten minutes.
"""

from __future__ import annotations

import copy
import json
import threading
import time
from collections import defaultdict
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.dynamodb.comparisons import get_filter_expression
from moto.dynamodb.exceptions import (
    ConditionalCheckFailed,
    MockValidationException,
    MultipleTransactionsException,
    TooManyTransactionsException,
    TransactionCanceledException,
    TransactWriteSingleOpException,
)
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table
from moto.dynamodb.responses import DynamoHandler

from remotejob.local.gaps import dynamodb_indexes as indexes

#: Held during each request.
LOCK = threading.RLock()
_TOKEN_LIFE_S = 600
_Key = tuple[DynamoType, DynamoType | None]
_Error = tuple[str | None, str | None, dict[str, Any] | None]


def close_gap() -> None:
    """Serialise requests, replace transactions, and limit queries to the items that can match."""
    _serialise_requests()
    _restore_failed_updates()
    _honour_request_tokens()
    DynamoDBBackend.transact_write_items = transact_write_items  # type: ignore[method-assign]
    indexes.close_gap()


def _serialise_requests() -> None:
    stock = DynamoHandler.call_action

    def call_action(self: DynamoHandler) -> Any:
        # Hold the lock until the answer is serialised: it may refer to live items.
        with LOCK:
            return stock(self)

    DynamoHandler.call_action = call_action  # type: ignore[method-assign]


def _restore_failed_updates() -> None:
    stock = DynamoDBBackend.update_item

    def update_item(self: DynamoDBBackend, table_name: str, key: Any, **rest: Any) -> Item:
        table = self.get_table(table_name)
        with LOCK:
            place = _place(table, key)
            before = copy.deepcopy(_read(table, place))
            try:
                return stock(self, table_name, key, **rest)
            except BaseException:
                write(table, place, before)
                raise
            finally:
                indexes.reindex(table, place)

    DynamoDBBackend.update_item = update_item  # type: ignore[assignment,method-assign]


class _IdempotentParameterMismatch(ServiceException):
    code = "IdempotentParameterMismatchException"


def _honour_request_tokens() -> None:
    stock = DynamoHandler.transact_write_items
    seen: dict[str, tuple[float, str, ActionResult]] = {}

    def transact_write_items(self: DynamoHandler) -> ActionResult:
        token = self.body.get("ClientRequestToken")
        if not token:
            return stock(self)
        now = time.monotonic()
        for old in [t for t, (at, _, _) in seen.items() if now - at > _TOKEN_LIFE_S]:
            del seen[old]
        request = json.dumps(self.body.get("TransactItems"), sort_keys=True)
        if token in seen:
            _, first, answer = seen[token]
            if first != request:
                raise _IdempotentParameterMismatch(
                    "DynamoDB rejected the request because you retried a request with a different "
                    "payload but with an idempotent token that was already used."
                )
            return answer
        answer = stock(self)
        seen[token] = (now, request, answer)
        return answer

    DynamoHandler.transact_write_items = transact_write_items  # type: ignore[method-assign]


def transact_write_items(self: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
    """Check every condition against the state before, then write all or nothing.

    Raises: TransactionCanceledException, with a reason for each item, when one is refused.
    """
    if len(transact_items) > 100:
        raise TooManyTransactionsException
    if any(len(item) > 1 for item in transact_items):
        raise TransactWriteSingleOpException
    steps = [next(iter(item.items())) for item in transact_items]
    places = [_place_of(self, kind, step) for kind, step in steps]
    if len({(t.name, *p) for t, p in places}) < len(places):
        raise MultipleTransactionsException
    errors = [_check(t, p, step) for (_, step), (t, p) in zip(steps, places, strict=True)]
    if all(code is None for code, _, _ in errors):
        errors = _carry_out(self, steps, places)
    if any(code is not None for code, _, _ in errors):
        raise TransactionCanceledException(errors)


def _check(table: Table, place: _Key, step: dict[str, Any]) -> _Error:
    condition = step.get("ConditionExpression")
    if condition is None:
        return None, None, None
    current = _read(table, place)
    holds = get_filter_expression(
        condition, step.get("ExpressionAttributeNames"), step.get("ExpressionAttributeValues")
    )
    if holds.expr(current):
        return None, None, None
    shown = step.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" and current is not None
    item = current.to_json()["Attributes"] if shown and current is not None else None
    return "ConditionalCheckFailed", ConditionalCheckFailed().message, item


def _carry_out(
    backend: DynamoDBBackend,
    steps: list[tuple[str, dict[str, Any]]],
    places: list[tuple[Table, _Key]],
) -> list[_Error]:
    before = [copy.deepcopy(_read(table, place)) for table, place in places]

    def undo() -> None:
        for (table, place), item in zip(places, before, strict=True):
            write(table, place, item)
            indexes.reindex(table, place)

    errors: list[_Error] = []
    for kind, step in steps:
        try:
            _apply(backend, kind, step)
            errors.append((None, None, None))
        except MockValidationException:
            undo()
            raise
        except Exception as error:  # noqa: BLE001
            # As in moto, any error of one item becomes a reason in the answer.
            errors.append((type(error).__name__, str(error), None))
    if any(code is not None for code, _, _ in errors):
        undo()
    return errors


def _apply(backend: DynamoDBBackend, kind: str, step: dict[str, Any]) -> None:
    values = {
        "expression_attribute_names": step.get("ExpressionAttributeNames"),
        "expression_attribute_values": step.get("ExpressionAttributeValues"),
    }
    if kind == "Put":
        backend.put_item(step["TableName"], step["Item"])
    elif kind == "Delete":
        backend.delete_item(step["TableName"], step["Key"])
    elif kind == "Update":
        backend.update_item(
            step["TableName"],
            step["Key"],
            update_expression=step["UpdateExpression"],
            condition_expression=step.get("ConditionExpression"),
            **values,  # type: ignore[arg-type]
        )


def _place_of(backend: DynamoDBBackend, kind: str, step: dict[str, Any]) -> tuple[Table, _Key]:
    table = backend.get_table(step["TableName"])
    return table, _place(table, step["Item"] if kind == "Put" else step["Key"])


def _place(table: Table, attributes: dict[str, Any]) -> _Key:
    if table.hash_key_attr not in attributes or (
        table.range_key_attr is not None and table.range_key_attr not in attributes
    ):
        raise MockValidationException("The provided key element does not match the schema")
    partition = DynamoType(attributes[table.hash_key_attr])
    sort = DynamoType(attributes[table.range_key_attr]) if table.range_key_attr else None
    return partition, sort


def _read(table: Table, place: _Key) -> Item | None:
    partition, sort = place
    items: Any = table.items.get(partition)
    if items is None or sort is None:
        return items  # type: ignore[no-any-return]
    return items.get(sort)  # type: ignore[no-any-return]


def write(table: Table, place: _Key, item: Item | None) -> None:
    partition, sort = place
    items: defaultdict[Any, Any] = table.items
    target, key = (items, partition) if sort is None else (items[partition], sort)
    if item is None:
        target.pop(key, None)
    else:
        target[key] = item
