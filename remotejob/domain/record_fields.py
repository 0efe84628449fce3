"""The attributes of a record's item: their names in the table, and which values each may have."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from remotejob.domain.conditions import Item
from remotejob.domain.errors import UnreadableItem
from remotejob.domain.ids import is_job_id, partition_of
from remotejob.domain.states import State
from remotejob.domain.text import shown
from remotejob.names import Field

FIELDS: Final[Mapping[str, Field]] = {
    "state": Field.STATE,
    "task": Field.TASK,
    "queue": Field.QUEUE,
    "priority": Field.PRIORITY,
    "created_ms": Field.CREATED,
    "updated_ms": Field.UPDATED,
    "due_ms": Field.DUE,
    "blocked": Field.BLOCKED,
    "parked": Field.PARKED,
    "resource": Field.RESOURCE,
    "tenant": Field.TENANT,
    "tenant_limit": Field.TENANT_LIMIT,
    "depends_json": Field.DEPENDS,
    "dependents": Field.DEPENDENTS,
    "linking": Field.LINKING,
    "delay_dependents_ms": Field.DELAY_DEPENDENTS,
    "repeat_json": Field.REPEAT,
    "generation": Field.GENERATION,
    "next_id": Field.NEXT,
    "origin_id": Field.ORIGIN,
    "previous_json": Field.PREVIOUS,
    "depth": Field.DEPTH,
    "batch": Field.BATCH,
    "calls_json": Field.CALLS,
    "token": Field.TOKEN,
    "run_id": Field.RUN,
    "lease_ms": Field.LEASE,
    "worker": Field.WORKER,
    "started_ms": Field.STARTED,
    "finished_ms": Field.FINISHED,
    "attempt": Field.ATTEMPT,
    "failures": Field.FAILURES,
    "crashes": Field.CRASHES,
    "crashed_runs": Field.CRASHED_RUNS,
    "lost_leases": Field.LOST_LEASES,
    "lost_run": Field.LOST_RUN,
    "releases": Field.RELEASES,
    "given_up": Field.GIVEN_UP,
    "start_by_ms": Field.START_BY,
    "start_in_ms": Field.START_IN,
    "crash_limit": Field.CRASH_LIMIT,
    "no_space": Field.NO_SPACE,
    "retry_json": Field.RETRY,
    "data_json": Field.DATA,
    "data_ref": Field.DATA_REF,
    "input_json": Field.INPUT,
    "progress_json": Field.PROGRESS,
    "log_json": Field.LOG,
    "log_count": Field.LOG_COUNT,
    "history": Field.HISTORY,
    "errors_json": Field.ERRORS,
    "result_json": Field.RESULT,
    "result_ref": Field.RESULT_REF,
    "outputs_json": Field.OUTPUTS,
    "outputs_ref": Field.OUTPUTS_REF,
    "checkpoint_json": Field.CHECKPOINT,
    "checkpoint_ref": Field.CHECKPOINT_REF,
    "owed": Field.OWED,
    "swept_ms": Field.SWEPT,
    "expires_s": Field.EXPIRES,
    "attention": Field.ATTENTION,
    "attention_ms": Field.ATTENTION_AT,
}

_STATES: Final = {state.value: state for state in State}
_REQUIRED: Final = frozenset({"task", "queue", "created_ms", "updated_ms"})

_TEXTS: Final = frozenset(
    {
        "state",
        "task",
        "queue",
        "parked",
        "resource",
        "tenant",
        "next_id",
        "origin_id",
        "batch",
        "linking",
        "token",
        "run_id",
        "worker",
        "lost_run",
        "owed",
        "attention",
    }
)
_SETS: Final = frozenset({"blocked", "crashed_runs", "history"})

COUNTERS: Final = frozenset(
    {
        "priority",
        "attempt",
        "failures",
        "crashes",
        "lost_leases",
        "releases",
        "given_up",
        "no_space",
        "log_count",
        "dependents",
        "generation",
        "depth",
    }
)

_KINDS: Final[Mapping[type, str]] = {str: "text", int: "a whole number", frozenset: "a set"}
_LATEST_MS: Final = 253_402_300_799_999
"""The end of the year 9999: Python has no later dates."""
_MOST: Final = 1_000_000_000
"""More than any counter reaches."""


def _rule(attribute: str) -> tuple[str, type, int, int]:
    """The attribute with the type of its values, and the least and the greatest number."""
    if attribute in _TEXTS or attribute.endswith(("_json", "_ref")):
        return attribute, str, 0, 0
    if attribute in _SETS:
        return attribute, frozenset, 0, 0
    if attribute == "priority":
        return attribute, int, -(10**38), 10**38
    if attribute == "tenant_limit":
        return attribute, int, 1, _MOST
    if attribute == "lease_ms":
        # one too far ahead is shortened where it is met: see `domain.odd_items`
        return attribute, int, 0, 10**38
    return attribute, int, 0, _MOST if attribute in COUNTERS else _LATEST_MS


_RULES: Final = {str(field): _rule(attribute) for attribute, field in FIELDS.items()}


def _unreadable(item: Item, problem: str, *, newer: bool = False) -> UnreadableItem:
    return UnreadableItem(item.get(Field.PK), item.get(Field.SK), problem, newer=newer)


def values_in(item: Item) -> dict[str, Any]:
    """The values of a record's item by attribute, without those that a later version adds.

    Raises: UnreadableItem.
    """
    values: dict[str, Any] = {}
    rules = _RULES
    for name, value in item.items():
        rule = rules.get(name)
        if rule is None:
            continue
        attribute, kind, least, most = rule
        # by type first, which is fast; in memory, some values are members of enumerations
        if type(value) is not kind and (not isinstance(value, kind) or isinstance(value, bool)):
            raise _unreadable(item, f"{name}={shown(value)} is not {_KINDS[kind]}")
        if kind is int and not least <= value <= most:  # type: ignore[operator]
            raise _unreadable(item, f"{name}={shown(value)} is not from {least} to {most}")
        values[attribute] = value
    told, job_id = values.get("state", ""), item.get(Field.SK)
    state = _STATES.get(told)
    if state is None:
        problem = f"{Field.STATE}={shown(told)} is no state that this version knows"
        raise _unreadable(item, problem, newer=True)
    if not values.keys() >= _REQUIRED:
        missing = sorted(FIELDS[attribute] for attribute in _REQUIRED - values.keys())
        raise _unreadable(item, f"it has no {', '.join(missing)}")
    if not isinstance(job_id, str) or item.get(Field.PK) != _partition_of(job_id):
        raise _unreadable(item, "its keys are not those of a job")
    values["state"], values["id"] = state, job_id
    return values


@lru_cache(maxsize=1024)
def _partition_of(job_id: str) -> str | None:
    """The partition of a record; None if its id is none. Cached: a record is read a few times."""
    return partition_of(job_id) if is_job_id(job_id) else None
