"""Conditions: how they read, and that memory and DynamoDB agree on what they mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings

from remotejob.backends.memory import MemoryStore
from remotejob.domain import (
    batch_changes,
    changes,
    command_changes,
    dependencies,
    given_up,
    lapses,
    locks,
    missed,
    run_changes,
    suspects,
    transactions,
    upkeep_changes,
)
from remotejob.domain.batches import COUNTED, COUNTS, BatchRecord, Follower
from remotejob.domain.changes import Change, Condition
from remotejob.domain.conditions import AtMost, Contains, IsNot, Value
from remotejob.domain.record import JobRecord
from remotejob.domain.transactions import Check, Conflict, Erase, Put, Step, put_record, record_key
from remotejob.jobs.submission import idempotency
from remotejob.names import Field
from remotejob.ports import Installation, Updated
from remotejob.testing.conformance import samples
from remotejob.testing.conformance.catalogue import ANTECEDENT, EDGE, EXAMPLES, HELD, LIMIT
from remotejob.testing.conformance.samples import NOW, SKEW
from tests.aws import aws_installation
from tests.domain.strategies import items as stored
from tests.domain.strategies import records

TEXTS: Final = {
    "claim": """
        attribute_exists(pk)
        AND ((j_state = :ready)
          OR (j_state = :waiting AND j_due <= :now
              AND attribute_not_exists(j_blocked) AND attribute_not_exists(j_parked)))
        AND ((attribute_not_exists(j_lease)) OR (j_lease <= :lapsed))
        AND j_updated <= :stamp AND j_task = :task AND j_queue = :queue AND j_run <> :new_run
        AND attribute_not_exists(j_resource) AND attribute_not_exists(j_tenant_n)
        AND ((attribute_not_exists(j_start_by)) OR (j_start_by >= :now))
        """,
    "give_up": """
        attribute_exists(pk)
        AND ((j_state IN (:ready, :running))
          OR (j_state = :waiting AND j_due <= :now
              AND attribute_not_exists(j_blocked) AND attribute_not_exists(j_parked)))
        AND ((attribute_not_exists(j_lease)) OR (j_lease <= :lapsed))
        AND j_updated = :seen_updated
        """,
    "claim_in_company": """
        attribute_exists(pk)
        AND ((j_state = :ready)
          OR (j_state = :waiting AND j_due <= :now
              AND attribute_not_exists(j_blocked) AND attribute_not_exists(j_parked)))
        AND ((attribute_not_exists(j_lease)) OR (j_lease <= :lapsed))
        AND j_updated <= :stamp AND j_task = :task AND j_queue = :queue AND j_run <> :new_run
        AND attribute_not_exists(j_resource) AND attribute_not_exists(j_tenant_n)
        AND ((attribute_not_exists(j_start_by)) OR (j_start_by >= :now))
        AND ((attribute_not_exists(j_crashes)) OR (j_crashes <= :no_crashes)
          OR (attribute_not_exists(j_crash_max) AND j_crashes <= :most_crashes))
        """,
    "miss": """
        attribute_exists(pk) AND j_state IN (:ready, :running, :waiting)
        AND attribute_not_exists(j_blocked)
        AND ((attribute_not_exists(j_lease)) OR (j_lease <= :lapsed))
        AND j_updated = :seen_updated
        """,
    "claim_of_old_task": """
        attribute_exists(pk)
        AND ((j_state = :ready)
          OR (j_state = :waiting AND j_due <= :now
              AND attribute_not_exists(j_blocked) AND attribute_not_exists(j_parked)))
        AND ((attribute_not_exists(j_lease)) OR (j_lease <= :lapsed))
        AND j_updated <= :stamp AND j_task = :task AND j_queue = :queue AND j_run <> :new_run
        AND attribute_not_exists(j_resource) AND attribute_not_exists(j_tenant_n)
        AND ((attribute_not_exists(j_start_by)) OR (j_start_by >= :now))
        AND ((attribute_exists(j_retry)) OR (j_start_by = :lifted))
        """,
    "claim_of_old_task_in_company": """
        attribute_exists(pk)
        AND ((j_state = :ready)
          OR (j_state = :waiting AND j_due <= :now
              AND attribute_not_exists(j_blocked) AND attribute_not_exists(j_parked)))
        AND ((attribute_not_exists(j_lease)) OR (j_lease <= :lapsed))
        AND j_updated <= :stamp AND j_task = :task AND j_queue = :queue AND j_run <> :new_run
        AND attribute_not_exists(j_resource) AND attribute_not_exists(j_tenant_n)
        AND ((attribute_not_exists(j_start_by)) OR (j_start_by >= :now))
        AND ((attribute_not_exists(j_crashes)) OR (j_crashes <= :no_crashes)
          OR (attribute_not_exists(j_crash_max) AND j_crashes <= :most_crashes))
        AND ((attribute_exists(j_retry)) OR (j_start_by = :lifted))
        """,
    "same_silent_run": """
        attribute_exists(pk) AND j_state = :running AND j_run = :seen_run AND j_lease <= :lapsed
        AND ((attribute_not_exists(j_crashes)) OR (j_crashes >= :seen_crashes))
        AND j_updated <= :stamp AND j_lost <> :seen_run
        """,
    "same_lost_run": """
        attribute_exists(pk) AND j_state = :running AND j_run = :seen_run AND j_lease <= :lapsed
        AND ((attribute_not_exists(j_crashes)) OR (j_crashes >= :seen_crashes))
        AND j_updated <= :stamp AND j_lost = :seen_run
        """,
    "still_own_run": "attribute_exists(pk) AND j_state = :running AND j_run = :own_run",
    "counted_as_crash": "attribute_exists(pk) AND contains(j_crashed, :own_run)",
    "own_live_run": """
        attribute_exists(pk) AND j_state = :running AND j_run = :run AND j_lease >= :now
        AND j_lease <= :until AND j_updated <= :stamp
        """,
    "own_run": """
        attribute_exists(pk) AND j_state = :running AND j_run = :run AND j_updated <= :stamp
        """,
    "cancelled_run": """
        attribute_exists(pk) AND j_state IN (:cancelled, :paused, :waiting) AND j_run = :run
    """,
    "same_mark": "attribute_exists(pk) AND a_kind = :seen_kind AND a_at = :seen_at",
    "owed_by_run": "attribute_exists(pk) AND j_owed = :owed AND j_finished = :finished",
    "unchanged": "attribute_exists(pk) AND j_updated = :seen_updated",
    "pause": "attribute_exists(pk) AND j_state IN (:ready, :waiting) AND j_updated <= :stamp",
    "resume": "attribute_exists(pk) AND j_state = :paused AND j_updated <= :stamp",
    "make_ready": "attribute_exists(pk) AND j_state = :waiting AND j_updated <= :stamp",
    "cancel": """
        attribute_exists(pk) AND j_state IN (:paused, :ready, :running, :waiting)
        AND j_updated <= :stamp
        """,
    "restart": """
        attribute_exists(pk) AND j_state IN (:cancelled, :failed) AND j_updated <= :stamp
        AND attribute_not_exists(j_owed)
        """,
    "remove": """
        attribute_exists(pk) AND j_state IN (:cancelled, :completed, :failed)
        AND attribute_not_exists(j_owed)
        AND ((attribute_not_exists(j_lease)) OR (j_lease <= :lapsed))
        AND j_updated = :seen_updated
        """,
    "not_ended": "attribute_exists(pk) AND j_state IN (:paused, :ready, :running, :waiting)",
    "release_waiting": """
        attribute_exists(pk) AND contains(j_blocked, :antecedent) AND j_state = :waiting
        """,
    "release_later": """
        attribute_exists(pk) AND contains(j_blocked, :antecedent) AND j_state = :waiting
        AND j_due <= :due
        """,
    "release_paused": """
        attribute_exists(pk) AND contains(j_blocked, :antecedent)
        AND j_state = :paused AND j_due <= :due
        """,
    "release_edge": "attribute_exists(pk) AND contains(j_blocked, :antecedent)",
    "cascade": """
        attribute_exists(pk) AND j_state IN (:paused, :ready, :running, :waiting)
        AND j_updated <= :stamp AND contains(j_blocked, :antecedent)
        """,
    "linking": """
        attribute_exists(pk) AND j_linking = :token
        AND j_state IN (:paused, :ready, :running, :waiting)
        """,
    "spendable": "((attribute_not_exists(pk)) OR (j_token = :token))",
    "in_vain": "j_state IN (:cancelled, :failed) AND j_finished = :finished",
    "claim_locked": """
        attribute_exists(pk)
        AND ((j_state = :ready)
          OR (j_state = :waiting AND j_due <= :now
              AND attribute_not_exists(j_blocked) AND attribute_not_exists(j_parked)))
        AND ((attribute_not_exists(j_lease)) OR (j_lease <= :lapsed))
        AND j_updated = :seen_updated
        """,
    "park": """
        attribute_exists(pk)
        AND ((j_state = :ready)
          OR (j_state = :waiting AND j_due <= :now
              AND attribute_not_exists(j_blocked) AND attribute_not_exists(j_parked)))
        AND ((attribute_not_exists(j_lease)) OR (j_lease <= :lapsed))
        AND j_updated = :seen_updated
        """,
    "unpark": """
        attribute_exists(pk) AND j_state = :waiting AND j_parked = :lock AND j_due <= :due
        """,
    "absent": "attribute_not_exists(pk)",
    "same_holder": "j_job = :job AND j_run = :run",
    "same_token": "j_token = :token",
    "not_live": """
        ((attribute_not_exists(j_lease)) OR (j_lease <= :lapsed) OR (j_run <> :holders_run))
        """,
    "relieve": "attribute_exists(pk) AND j_run = :holders_run AND j_lease <= :lapsed",
    "not_parked": "j_parked <> :lock",
    "open": """
        attribute_exists(pk) AND attribute_not_exists(j_sealed) AND attribute_not_exists(j_stopped)
        """,
    "batch_there": "attribute_exists(pk)",
    "counted_once": """
        attribute_exists(pk) AND j_owed = :owed AND j_finished = :finished AND j_state = :ended
        """,
    "restart_counted": """
        attribute_exists(pk) AND j_state IN (:cancelled, :failed) AND j_updated <= :stamp
        AND attribute_not_exists(j_owed)
        AND j_finished = :finished AND j_state = :ended
        """,
    "follows": "attribute_exists(pk) AND contains(j_blocked, :batch)",
    "follows_waiting": """
        attribute_exists(pk) AND contains(j_blocked, :batch) AND j_state = :waiting
        """,
    "same_counts": """
        j_n_completed = :completed AND j_n_failed = :failed AND j_n_cancelled = :cancelled
        """,
    "key_free": "((attribute_not_exists(pk)) OR (j_expires <= :now_s) OR (j_job = :gone))",
}
HOLD_OF_NOTHING: Final = {"absent", "not_live", "not_parked", "key_free", "spendable"}
"""Conditions that hold where there is no item: every other one requires it to exist."""

MODULES: Final = (
    changes,
    run_changes,
    given_up,
    lapses,
    upkeep_changes,
    command_changes,
    dependencies,
    locks,
    transactions,
    batch_changes,
    idempotency,
    suspects,
    missed,
)
CONDITIONS: Final[dict[str, Condition]] = {
    condition.name: condition
    for module in MODULES
    for condition in vars(module).values()
    if isinstance(condition, Condition)
}

RECORD: Final = samples.failed(owed=None)
BATCH: Final = BatchRecord(
    id=ANTECEDENT,
    task="work",
    queue="default",
    name=None,
    created_ms=NOW,
    expires_s=NOW,
    follower=Follower(task="summary", queue="default"),
    counters={f"{COUNTS}0": dict.fromkeys(COUNTED.values(), 1)},
    follower_ids=(RECORD.id,),
)
"""A batch that blocks what the records drawn below may be blocked by."""
GUARDED: Final[tuple[Step, ...]] = (
    *(change for _, change in EXAMPLES.values()),
    suspects.in_company(EXAMPLES["claim"][1]),
    command_changes.remove(RECORD, now_ms=NOW, kept_ms=0, token="t"),
    put_record(RECORD),
    locks.unlock(HELD),
    locks.check_over(HELD, now_ms=NOW, skew_ms=SKEW),
    locks.relieve(HELD, samples.silent(id=HELD.job_id), now_ms=NOW, skew_ms=SKEW),
    *locks.clear_waiter(RECORD.id, LIMIT),
    dependencies.spend(EDGE, expires_s=0),
    dependencies.check_in_vain(RECORD),
    dependencies.linked(RECORD.id, token="t"),
    dependencies.spend(replace(EDGE, stored=False), expires_s=0),
    batch_changes.sealed(BATCH.id),
    *batch_changes.counted(BATCH.id, [samples.failed()], retention_ms=0),
    batch_changes.restart_counted(command_changes.restart(RECORD, now_ms=NOW), RECORD),
    batch_changes.follows(BATCH.id, RECORD.id),
    *batch_changes.unlock(BATCH, RECORD.id, now_ms=NOW, waiting=True),
    idempotency.take_key(
        "key",
        "default",
        "mine",
        window=timedelta(days=1),
        gone=HELD.job_id,
        payload="{}",
        now_ms=NOW,
    ),
)
STEPS: Final[dict[str, Step]] = {
    step.condition.name: step for step in GUARDED if step.condition is not None
}
"""A step under each condition."""

KEY: Final = record_key(RECORD.id)


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    with aws_installation() as installation:
        yield installation


def test_every_condition_is_tested() -> None:
    assert set(CONDITIONS) == set(TEXTS) == set(STEPS)


@pytest.mark.parametrize("name", TEXTS)
def test_a_condition_reads(name: str) -> None:
    assert CONDITIONS[name].expression.text() == " ".join(TEXTS[name].split())


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_requires_the_item_to_exist(name: str) -> None:
    holds = CONDITIONS[name].expression.holds({}, STEPS[name].values)
    assert holds is (name in HOLD_OF_NOTHING)


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_step_gives_every_value_its_condition_names(name: str) -> None:
    # DynamoDB refuses a request that names a value it does not give, or gives one it does not name
    expression = CONDITIONS[name].expression
    named = set(re.findall(r":\w+", expression.text()))
    constants = {f":{key}" for key, _ in expression.constants()}
    assert named == constants | {f":{key}" for key in STEPS[name].values}


@pytest.mark.parametrize("name", CONDITIONS)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(item=stored(KEY))
def test_memory_and_dynamodb_agree_on(
    name: str, item: dict[str, Value] | None, installation: Installation
) -> None:
    condition, values = CONDITIONS[name], STEPS[name].values
    memory, dynamodb = MemoryStore(), installation.store
    # one table for all examples: what an example before this left is replaced
    put: Step = Erase(key=KEY) if item is None else Put(key=KEY, content=item)
    for store in (memory, dynamodb):
        assert store.transact([put]) is None
    holds = condition.expression.holds(item or {}, values)
    check = Check(key=KEY, condition=condition, values=values)

    assert memory.transact([check]) == (None if holds else Conflict(0, item))
    assert dynamodb.transact([check]) == (None if holds else Conflict(0, item))


@pytest.mark.parametrize(("before", "change"), EXAMPLES.values(), ids=EXAMPLES)
@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(record=records())
def test_memory_and_dynamodb_agree_on_the_effect_of(
    before: JobRecord, change: Change, record: JobRecord, installation: Installation
) -> None:
    memory, dynamodb = MemoryStore(), installation.store
    for store in (memory, dynamodb):
        store.transact([Put(key=KEY, content=record.to_item())])

    met = memory.update(change)

    assert dynamodb.update(change) == met
    assert dynamodb.item(KEY) == memory.item(KEY)
    holds = change.condition.expression.holds(record.to_item(), change.values)
    assert isinstance(met, Updated) is holds


def test_a_comparison_with_an_absent_attribute_is_false() -> None:
    assert not AtMost(Field.LEASE, "now").holds({}, {"now": 1})


def test_text_is_not_compared_as_a_number() -> None:
    with pytest.raises(TypeError, match="'soon'"):
        AtMost(Field.LEASE, "now").holds({Field.LEASE: "soon"}, {"now": 1})


def test_an_absent_attribute_is_unlike_every_value() -> None:
    assert IsNot(Field.RUN, "run").holds({}, {"run": "a"})
    assert IsNot(Field.RUN, "run").holds({Field.RUN: "b"}, {"run": "a"})
    assert not IsNot(Field.RUN, "run").holds({Field.RUN: "a"}, {"run": "a"})


def test_a_set_contains_its_members_alone() -> None:
    contains = Contains(Field.BLOCKED, "job")
    assert contains.holds({Field.BLOCKED: frozenset({"ab", "c"})}, {"job": "ab"})
    assert not contains.holds({Field.BLOCKED: frozenset({"ab", "c"})}, {"job": "a"})
    assert not contains.holds({}, {"job": "a"})
