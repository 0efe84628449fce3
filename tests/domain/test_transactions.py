"""Items next to the records, such as edges, and what a change does to an item."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remotejob.domain import dependencies
from remotejob.domain.changes import EXISTS, Change, Condition
from remotejob.domain.conditions import Item
from remotejob.domain.dependencies import EDGES_AT_A_TIME, EDGES_WITH_RECORD, Edge
from remotejob.domain.record import JobRecord
from remotejob.domain.transactions import (
    STEPS_AT_MOST,
    Check,
    Conflict,
    Key,
    Put,
    applied,
    key_of,
    put_record,
    record_key,
    record_of,
)
from remotejob.names import Field
from remotejob.testing.conformance import samples
from remotejob.testing.conformance.catalogue import EDGE
from remotejob.testing.conformance.samples import NOW
from tests.domain.strategies import records

ANYTHING = Condition(name="anything", expression=EXISTS)


def _change(**fields: object) -> Change:
    return Change(job_id="job", condition=ANYTHING, values={}, **fields)  # type: ignore[arg-type]


@given(records())
def test_a_record_is_its_item(record: JobRecord) -> None:
    step = put_record(record)
    assert record_of(step.content) == record
    assert Conflict(0, step.content).record == record
    assert step.key == record_key(record.id) == key_of(step)


def test_what_a_removed_job_leaves_is_no_record() -> None:
    left: Item = {Field.PK: "20260115#0", Field.SK: samples.job_id(), Field.REMOVED: NOW}
    assert record_of(left) is None
    assert Conflict(0, left).record is None
    assert Conflict(0, None).record is None


def test_the_key_of_a_change_is_that_of_its_record() -> None:
    job_id = samples.job_id(3)
    change = Change(job_id=job_id, condition=ANYTHING, values={})
    check = Check(key=record_key(job_id), condition=ANYTHING)
    assert key_of(change) == key_of(check) == Key("20260115#0", job_id)


def test_a_change_leaves_the_item_it_is_applied_to() -> None:
    before: dict[str, str | int | frozenset[str]] = {"j_blocked": frozenset("ab"), "j_due": 1}
    change = _change(
        set={Field.DUE: 2},
        add={Field.ATTEMPT: 1},
        include={Field.HISTORY: frozenset("h")},
        discard={Field.BLOCKED: frozenset("a")},
        remove=(Field.LEASE,),
    )

    after = applied(change, before)

    assert before == {"j_blocked": frozenset("ab"), "j_due": 1}
    assert after == {
        "j_blocked": frozenset("b"),
        "j_due": 2,
        "j_attempt": 1,
        "j_hist": frozenset("h"),
    }


@pytest.mark.parametrize("before", [{}, {Field.BLOCKED: frozenset("a")}], ids=["none", "the last"])
def test_no_empty_set_is_left(before: Item) -> None:
    assert applied(_change(discard={Field.BLOCKED: frozenset("a")}), before) == {}


@pytest.mark.parametrize(
    "change",
    [
        _change(add={Field.TASK: 1}),
        _change(discard={Field.TASK: frozenset("a")}),
        _change(include={Field.TASK: frozenset("a")}),
    ],
    ids=["text is no number", "text is no set", "text is no set to add to"],
)
def test_what_goes_with_no_attribute_of_that_kind_is_refused(change: Change) -> None:
    with pytest.raises(AssertionError, match="'work' is no"):
        applied(change, {Field.TASK: "work"})


@given(
    antecedent=st.text("0123", min_size=1),
    dependent=st.text("0123#", min_size=1),
    spent=st.booleans(),
)
def test_an_edge_comes_back_from_its_item(antecedent: str, dependent: str, *, spent: bool) -> None:
    edge = Edge(antecedent=antecedent, dependent=dependent, token=samples.TOKEN, spent=spent)
    step = dependencies.edges_to_put(dependent, [antecedent], token=samples.TOKEN)[0]
    if spent:
        step = dependencies.spend(edge, expires_s=1)

    assert isinstance(step, Put)
    assert step.key == edge.key
    assert Edge.of(antecedent, step.content) == edge


def test_as_many_edges_as_may_be_fit_a_transaction_with_their_dependent() -> None:
    steps = dependencies.edges_to_put(
        "job", map(str, range(EDGES_WITH_RECORD)), token=samples.TOKEN
    )
    assert len({key_of(step) for step in steps}) == len(steps)
    # the record itself, and what else is submitted in the same transaction
    assert len(steps) + 2 <= STEPS_AT_MOST


def test_edges_stored_later_fit_a_transaction_with_their_check() -> None:
    steps = dependencies.edges_to_put("job", map(str, range(EDGES_AT_A_TIME)), token=samples.TOKEN)
    assert len(steps) + 1 <= STEPS_AT_MOST


def test_the_last_way_to_release_an_edge_changes_nothing_but_what_blocks() -> None:
    *marking, paused, last = dependencies.releases(EDGE, now_ms=NOW, due_ms=NOW + 1)
    assert [Field.ATTENTION in change.set for change in marking] == [True] * len(marking)
    assert paused.set == {Field.DUE: NOW + 1}
    assert (last.set, last.add, last.remove) == ({}, {}, ())
    assert {tuple(change.discard.items()) for change in (*marking, paused, last)} == {
        ((Field.BLOCKED, frozenset({EDGE.antecedent})),)
    }
