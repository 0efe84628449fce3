"""Conditions: how they read, and that memory and DynamoDB agree on what they mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings

from remotejob.backends.memory import MemoryStore
from remotejob.domain import changes
from remotejob.domain.changes import Change, Condition
from remotejob.domain.conditions import AtMost
from remotejob.domain.record import JobRecord
from remotejob.names import Field
from remotejob.ports import Installation, Updated
from remotejob.testing.conformance import samples
from remotejob.testing.conformance.samples import NOW, RUN, SKEW
from tests.aws import aws_installation
from tests.domain.strategies import records

TEXTS: Final = {
    "claim": """
        attribute_exists(pk)
        AND ((j_state = :ready)
          OR (j_state = :waiting AND j_due <= :now AND attribute_not_exists(j_blocked)))
        AND ((attribute_not_exists(j_lease)) OR (j_lease <= :lapsed))
        AND j_updated <= :stamp
        """,
    "same_lapsed_run": """
        attribute_exists(pk) AND j_state = :running AND j_run = :seen_run AND j_lease <= :lapsed
        """,
    "own_live_run": """
        attribute_exists(pk) AND j_state = :running AND j_run = :run AND j_lease >= :now
        """,
    "own_run": "attribute_exists(pk) AND j_state = :running AND j_run = :run",
    "cancelled_run": "attribute_exists(pk) AND j_state = :cancelled AND j_run = :run",
    "same_mark": "attribute_exists(pk) AND a_kind = :seen_kind AND a_at = :seen_at",
    "owed_by_run": "attribute_exists(pk) AND j_owed = :owed AND j_finished = :finished",
    "unchanged": "attribute_exists(pk) AND j_updated = :seen_updated",
}

CONDITIONS: Final[dict[str, Condition]] = {
    condition.name: condition
    for condition in vars(changes).values()
    if isinstance(condition, Condition)
}

RUNNING, SILENT = samples.running(), samples.silent()
CHANGES: Final[dict[str, Callable[[], Change]]] = {
    "claim": lambda: changes.claim(
        RUNNING.id, run_id=RUN, worker="w", now_ms=NOW, stamp_ms=NOW, lease_ms=1, skew_ms=SKEW
    ),
    "same_lapsed_run": lambda: changes.expire(SILENT, now_ms=NOW, skew_ms=SKEW),
    "own_live_run": lambda: changes.heartbeat(
        RUNNING, now_ms=NOW, lease_ms=1, report={}, mark_ms=None
    ),
    "own_run": lambda: changes.release(RUNNING, now_ms=NOW, report={}),
    "cancelled_run": lambda: changes.let_go_of_cancelled(RUNNING, run_id=RUN),
    "same_mark": lambda: changes.move_mark(samples.waiting(), to_ms=NOW),
    "owed_by_run": lambda: changes.settle(samples.failed(), retention_ms=0),
    "unchanged": lambda: changes.swept(RUNNING, now_ms=NOW),
}
"""A change under each condition."""


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    with aws_installation() as installation:
        yield installation


def test_every_condition_is_tested() -> None:
    assert set(CONDITIONS) == set(TEXTS) == set(CHANGES)


@pytest.mark.parametrize("name", TEXTS)
def test_a_condition_reads(name: str) -> None:
    assert CONDITIONS[name].expression.text() == " ".join(TEXTS[name].split())


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_requires_the_record_to_exist(name: str) -> None:
    change = CHANGES[name]()
    assert not change.condition.expression.holds({}, change.values)


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_change_gives_every_value_its_condition_names(name: str) -> None:
    change = CHANGES[name]()
    words = change.condition.expression.text().replace("(", " ").replace(")", " ").split()
    named = {word.strip(",") for word in words if word.startswith(":")}
    constants = {f":{key}" for key, _ in change.condition.expression.constants()}
    assert named == constants | {f":{key}" for key in change.values}


@pytest.mark.parametrize("name", CONDITIONS)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(record=records())
def test_memory_and_dynamodb_agree_on(
    name: str, record: JobRecord, installation: Installation
) -> None:
    change = CHANGES[name]()
    memory = MemoryStore()
    memory.put_new(record)
    # one table for all examples: put_fresh writes over what an example before this left
    assert installation.store.put_fresh([record]) == []

    met = memory.update(change)

    assert installation.store.update(change) == met
    holds = change.condition.expression.holds(record.to_item(), change.values)
    assert isinstance(met, Updated) is holds


def test_a_comparison_with_an_absent_attribute_is_false() -> None:
    assert not AtMost(Field.LEASE, "now").holds({}, {"now": 1})


def test_text_is_not_compared_as_a_number() -> None:
    with pytest.raises(TypeError, match="'soon'"):
        AtMost(Field.LEASE, "now").holds({Field.LEASE: "soon"}, {"now": 1})
