"""What DynamoDB's pages forbid, and its model does not say.

Source: Amazon DynamoDB API Reference, "PutItem", "UpdateItem", "DeleteItem", "GetItem", "Query",
"TransactWriteItems", "TransactGetItems", "BatchGetItem", "BatchWriteItem"; and the pages that
`items` and `expressions` name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from remotejob.names import ATTENTION_INDEX, Field
from tests.requests.rules.expressions import (
    Invalid,
    Parsed,
    overlaps,
    parse_condition,
    parse_projection,
    parse_update,
)
from tests.requests.rules.items import (
    item_bytes,
    item_faults,
    key_faults,
    value_bytes,
    value_faults,
)

Request = Mapping[str, Any]

_CONDITIONS: Final = ("ConditionExpression", "FilterExpression", "KeyConditionExpression")
_TABLE: Final = re.compile(r"[A-Za-z0-9_.-]{3,255}")
_MOST_ACTIONS: Final = 100
_MOST_TRANSACTION_BYTES: Final = 4 * 1024 * 1024
_MOST_WRITES: Final = 25
_MOST_BATCH_BYTES: Final = 16 * 1024 * 1024
_MOST_READS: Final = 100
_MOST_VALUES_BYTES: Final = 2 * 1024 * 1024
_MOST_TOKEN: Final = 36
_MOST_PLACEHOLDER_BYTES: Final = 255
_RETURNED: Final = {
    "PutItem": frozenset({"NONE", "ALL_OLD"}),
    "DeleteItem": frozenset({"NONE", "ALL_OLD"}),
}
_LEGACY: Final = frozenset(
    {"AttributesToGet", "AttributeUpdates", "ConditionalOperator", "Expected", "KeyConditions",
     "QueryFilter", "ScanFilter"}
)  # fmt: skip
_INDEXED: Final = {Field.ATTENTION.value: "S", Field.ATTENTION_AT.value: "N"}
"""The key of our index: an item of another type, or with empty text, is refused."""
_KEYS: Final = {None: (Field.PK, Field.SK), ATTENTION_INDEX: (Field.ATTENTION, Field.ATTENTION_AT)}


def faults(operation: str, request: Request) -> list[str]:
    """What the request does that the pages forbid."""
    check = _CHECKS.get(operation)
    if check is None:
        return []
    return [*_table_faults(request.get("TableName"), operation), *check(request, operation)]


def _table_faults(name: str | None, place: str) -> Iterator[str]:
    if name is not None and not _TABLE.fullmatch(name) and not name.startswith("arn:"):
        yield f"{place}: {name!r:.80} is no name of a table"


# --- one item


def _put(request: Request, place: str) -> Iterator[str]:
    item = request["Item"]
    yield from item_faults(item, f"{place}.Item")
    yield from _indexed_faults(item, f"{place}.Item")
    key = {str(name): item[name] for name in (Field.PK, Field.SK) if name in item}
    if key:
        yield from key_faults(key, f"{place}.Item", sort=Field.SK)
    yield from _expression_faults(request, place)


def _update(request: Request, place: str) -> Iterator[str]:
    yield from _keyed(request, place)
    text = request.get("UpdateExpression")
    if text is None:
        return
    try:
        parsed = parse_update(text)
    except Invalid:
        return  # said already
    names = request.get("ExpressionAttributeNames", {})
    written = [tuple(names.get(part, part) for part in path) for _, path in parsed.written]
    for one, other in overlaps(written):
        yield f"{place}: the paths {'.'.join(one)} and {'.'.join(other)} overlap"
    for path in written:
        if path[0] in request["Key"]:
            yield f"{place}: {path[0]} is part of the key, which no update changes"
    values = request.get("ExpressionAttributeValues", {})
    for clause, value in parsed.operands:
        kind = next(iter(values.get(value, {"?": None})))
        allowed = ("N", "SS", "NS", "BS") if clause == "ADD" else ("SS", "NS", "BS")
        if kind not in allowed and kind != "?":
            yield f"{place}: {clause} takes no {kind}, which {value} is"
    size = item_bytes(request["Key"]) + sum(map(value_bytes, values.values()))
    if size > _MOST_VALUES_BYTES:
        yield f"{place} writes {size:,} bytes"


def _keyed(request: Request, place: str) -> Iterator[str]:
    yield from key_faults(request["Key"], f"{place}.Key", sort=Field.SK)
    yield from _expression_faults(request, place)


def _query(request: Request, place: str) -> Iterator[str]:
    index = request.get("IndexName")
    yield from _expression_faults(request, place)
    if "Key" in request:
        yield f"{place} has a Key"
    if index is not None and request.get("ConsistentRead"):
        yield f"{place} is consistent, which no global index is"
    if "KeyConditionExpression" in request:
        yield from _key_condition_faults(request, place)
    elif "KeyConditions" not in request:
        yield f"{place} has no key condition"
    start = request.get("ExclusiveStartKey")
    if start is not None and not {Field.PK, Field.SK} <= start.keys() and Field.PK in start:
        yield f"{place} starts after {sorted(start)}, which is no key"


def _key_condition_faults(request: Request, place: str) -> Iterator[str]:
    try:
        parsed = parse_condition(request["KeyConditionExpression"])
    except Invalid:
        return  # said already
    names = request.get("ExpressionAttributeNames", {})
    comparisons = [(names.get(name, name), sign) for name, sign in parsed.comparisons]
    keys = _KEYS.get(request.get("IndexName"))
    asked = [name for name, _ in comparisons]
    if len(asked) != len(set(asked)) or len(asked) > 2:
        yield f"{place}: a key condition asks for each key once, not for {asked}"
    if keys is None or not {*asked} <= {*keys}:
        return  # of a table that is not ours
    if (keys[0], "=") not in comparisons:
        yield f"{place}: a key condition must say what {keys[0]} equals"
    for name, sign in comparisons:
        if sign in ("<>", "IN", "contains", "attribute_exists", "attribute_not_exists", "size"):
            yield f"{place}: no key condition has {sign}, as for {name}"
    if "FilterExpression" in request:
        yield from _filter_faults(request["FilterExpression"], names, keys, place)


def _filter_faults(
    text: str, names: Mapping[str, str], keys: Iterable[str], place: str
) -> Iterator[str]:
    try:
        parsed = parse_condition(text)
    except Invalid:
        return  # said already
    for name, _ in parsed.comparisons:
        if names.get(name, name) in keys:
            yield f"{place}: a filter cannot name the key {name}"


def _indexed_faults(item: Mapping[str, Any], place: str) -> Iterator[str]:
    for name, wanted in _INDEXED.items():
        if name not in item:
            continue
        ((kind, value),) = item[name].items()
        if kind != wanted or value == "":
            yield f"{place}.{name} is {item[name]!r:.80}, which the index refuses"


# --- expressions and their placeholders


def _expression_faults(request: Request, place: str) -> Iterator[str]:
    names: set[str] = set()
    values: set[str] = set()
    expressions = False
    for name, parse in _PARSERS.items():
        text = request.get(name)
        if text is None:
            continue
        expressions = True
        try:
            parsed = parse(text)
        except Invalid as problem:
            yield f"{place}.{name}: {problem}, in {text!r:.200}"
            # what it uses is not known
            return
        names |= parsed.names
        values |= parsed.values
    given_names = request.get("ExpressionAttributeNames")
    given_values = request.get("ExpressionAttributeValues")
    yield from _placeholder_faults(given_names, names, f"{place}.ExpressionAttributeNames", "#")
    yield from _placeholder_faults(given_values, values, f"{place}.ExpressionAttributeValues", ":")
    if given_values:
        for name, value in given_values.items():
            yield from value_faults(value, f"{place}.ExpressionAttributeValues.{name}")
    if expressions and (mixed := _LEGACY & request.keys()):
        yield f"{place} has expressions, and {sorted(mixed)} of before them"
    returned = request.get("ReturnValues")
    if returned is not None and returned not in _RETURNED.get(place, {returned}):
        yield f"{place} cannot return {returned}"


def _placeholder_faults(
    given: Mapping[str, Any] | None, used: set[str], place: str, sign: str
) -> Iterator[str]:
    if given is None:
        given = {}
    elif not given:
        yield f"{place} is empty"
    if unused := given.keys() - used:
        yield f"{place} has {sorted(unused)}, which no expression uses"
    if unknown := used - given.keys():
        yield f"{place} lacks {sorted(unknown)}, which an expression uses"
    for name in given:
        if not name.startswith(sign) or len(name.encode()) > _MOST_PLACEHOLDER_BYTES:
            yield f"{place} has {name!r:.80}, which is no placeholder"


_PARSERS: Final[Mapping[str, Callable[[str], Parsed]]] = {
    "ProjectionExpression": parse_projection,
    "UpdateExpression": parse_update,
    **dict.fromkeys(_CONDITIONS, parse_condition),
}


# --- several items


def _transact_write(request: Request, place: str) -> Iterator[str]:
    actions = request["TransactItems"]
    yield from _count_faults(len(actions), _MOST_ACTIONS, place)
    token = request.get("ClientRequestToken")
    if token is not None and not 1 <= len(token) <= _MOST_TOKEN:
        yield f"{place}.ClientRequestToken has {len(token)} characters"
    size, touched = 0, []
    for number, action in enumerate(actions):
        if len(action) != 1:
            yield f"{place}[{number}] has {sorted(action)}, and not one action"
            continue
        ((kind, step),) = action.items()
        yield from _STEPS[kind](step, f"{place}[{number}].{kind}")
        if "ReturnValues" in step:
            yield f"{place}[{number}].{kind} has ReturnValues, which no transaction has"
        if kind == "Update" and "UpdateExpression" not in step:
            yield f"{place}[{number}].{kind} has no UpdateExpression"
        size += _step_bytes(step)
        touched.append((step["TableName"], _place_of(step)))
    yield from _repeated(touched, place)
    if size > _MOST_TRANSACTION_BYTES:
        yield f"{place} has {size:,} bytes, more than {_MOST_TRANSACTION_BYTES:,}"


def _transact_get(request: Request, place: str) -> Iterator[str]:
    reads = [one["Get"] for one in request["TransactItems"]]
    yield from _count_faults(len(reads), _MOST_ACTIONS, place)
    for read in reads:
        yield from _keyed(read, place)
    yield from _repeated([(read["TableName"], _place_of(read)) for read in reads], place)


def _batch_get(request: Request, place: str) -> Iterator[str]:
    count = sum(len(asked["Keys"]) for asked in request["RequestItems"].values())
    yield from _count_faults(count, _MOST_READS, place)
    for table, asked in request["RequestItems"].items():
        for key in asked["Keys"]:
            yield from key_faults(key, place, sort=Field.SK)
        yield from _expression_faults(asked, place)
        yield from _repeated([(table, _frozen(key)) for key in asked["Keys"]], place)


def _batch_write(request: Request, place: str) -> Iterator[str]:
    count, size, touched = 0, 0, []
    for table, writes in request["RequestItems"].items():
        for write in writes:
            count += 1
            if len(write) != 1:
                yield f"{place} has {sorted(write)}, and not one write"
                continue
            ((kind, step),) = write.items()
            if kind == "PutRequest":
                yield from _put(step, place)
                size += item_bytes(step["Item"])
            else:
                yield from key_faults(step["Key"], place, sort=Field.SK)
            touched.append((table, _place_of(step)))
    yield from _count_faults(count, _MOST_WRITES, place)
    yield from _repeated(touched, place)
    if size > _MOST_BATCH_BYTES:
        yield f"{place} has {size:,} bytes, more than {_MOST_BATCH_BYTES:,}"


def _count_faults(count: int, most: int, place: str) -> Iterator[str]:
    if not 1 <= count <= most:
        yield f"{place} is for {count} items, and not for 1 to {most}"


def _repeated(touched: Iterable[tuple[str, Any]], place: str) -> Iterator[str]:
    counts = Counter(one for one in touched if one[1] is not None)
    for (table, key), count in counts.items():
        if count > 1:
            yield f"{place} touches {key} of {table} {count} times"


def _place_of(step: Request) -> Any:
    """Which item a step is for; None for a put into a table whose key is not known here."""
    if "Key" in step:
        return _frozen(step["Key"])
    item = step["Item"]
    if Field.PK not in item or Field.SK not in item:
        return None
    return _frozen({name: item[name] for name in (Field.PK, Field.SK)})


def _frozen(key: Mapping[str, Any]) -> Any:
    return tuple(sorted((name, *next(iter(typed.items()))) for name, typed in key.items()))


def _step_bytes(step: Request) -> int:
    values = step.get("ExpressionAttributeValues", {}).values()
    return item_bytes(step.get("Item") or step["Key"]) + sum(map(value_bytes, values))


_STEPS: Final[Mapping[str, Callable[[Request, str], Iterator[str]]]] = {
    "Put": _put,
    "Update": _update,
    "Delete": _keyed,
    "ConditionCheck": _keyed,
}
_CHECKS: Final[Mapping[str, Callable[[Request, str], Iterator[str]]]] = {
    "PutItem": _put,
    "UpdateItem": _update,
    "DeleteItem": _keyed,
    "GetItem": _keyed,
    "Query": _query,
    "Scan": _expression_faults,
    "TransactWriteItems": _transact_write,
    "TransactGetItems": _transact_get,
    "BatchGetItem": _batch_get,
    "BatchWriteItem": _batch_write,
}
