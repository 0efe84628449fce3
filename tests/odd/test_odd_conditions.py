"""The conditions on odd items mean the same in memory and in DynamoDB."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from remotejob.backends.memory import MemoryStore
from remotejob.domain.changes import Condition
from remotejob.domain.conditions import Item
from remotejob.domain.odd_items import BEYOND_SENSE, NO_LIVE_RUN, ODD_HEAD, ODD_KEY, ODD_SLOT
from remotejob.domain.run_changes import CLAIM
from remotejob.domain.transactions import Check, Conflict, Key
from remotejob.names import Field
from remotejob.ports import Installation
from remotejob.testing import FakeClock, memory_installation
from tests.aws import aws_installation
from tests.odd.odd_items import ODD_VALUES, put

LEASE: Item = {"lapsed": 10, "latest": 1000, "holders_run": "a"}
CASES: Mapping[str, tuple[Condition, Item, tuple[Field, ...]]] = {
    "slot": (ODD_SLOT, {}, (Field.JOB, Field.RUN)),
    "live": (NO_LIVE_RUN, LEASE, (Field.LEASE,)),
    "lease": (BEYOND_SENSE, {"seen_lease": 500}, (Field.LEASE,)),
    "key": (ODD_KEY, {}, (Field.JOB,)),
    "head": (ODD_HEAD, {}, (Field.HEAD,)),
    "claim": (
        CLAIM,
        {"now": 9, "lapsed": 10, "stamp": 9, "new_run": "b", "task": "work", "queue": "default"},
        (Field.DUE, Field.LEASE, Field.UPDATED, Field.TASK, Field.QUEUE, Field.STATE),
    ),
}
SOUND: Mapping[str, Any] = {
    Field.STATE: {"S": "ready"},
    Field.TASK: {"S": "work"},
    Field.QUEUE: {"S": "default"},
    Field.UPDATED: {"N": "9"},
    Field.LEASE: {"N": "5"},
    Field.RUN: {"S": "a"},
    Field.JOB: {"S": "x"},
    Field.EXPIRES: {"N": "5"},
    Field.HEAD: {"N": "3"},
}
VALUES = (*ODD_VALUES, {"N": "500"}, {"N": "5000"}, {"S": "work"}, {"S": "other"}, None)


FRACTION: Mapping[str, Any] = {"N": "1.5"}
"""A number to DynamoDB, and none of ours: no condition here is asked about it."""


def is_held(installation: Installation, key: Key, condition: Condition, values: Item) -> bool:
    check = Check(key=key, condition=condition, values=values)
    met = installation.store.transact([check])
    assert met is None or isinstance(met, Conflict)
    return met is None


@pytest.mark.parametrize("name", CASES)
def test_memory_and_dynamodb_agree_on_odd_items(name: str, clock: FakeClock) -> None:
    condition, values, fields = CASES[name]
    memory = memory_installation(clock)
    assert isinstance(memory.store, MemoryStore)
    with aws_installation(clock) as aws:
        outcomes = []
        for number, (field, value) in enumerate((f, v) for f in fields for v in VALUES):
            if value == FRACTION:
                continue
            item = {**SOUND, field: value}
            if value is None:
                del item[field]
            key = Key("odd", f"{number}")
            for installation in (memory, aws):
                put(installation, key.partition, key.name, item)
            held = is_held(memory, key, condition, values)
            assert is_held(aws, key, condition, values) is held, (field, value)
            outcomes.append(held)
    assert {True, False} == set(outcomes)
