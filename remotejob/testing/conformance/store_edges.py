"""The suite for jobs that wait for others: storing, releasing, cascading and spending edges."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from remotejob.domain import dependencies
from remotejob.domain.dependencies import EDGES, Edge
from remotejob.domain.history import Action, first_line
from remotejob.domain.marks import Attention, attention_key
from remotejob.domain.record import Failure, JobRecord, errors_to_json
from remotejob.domain.states import TERMINAL, State
from remotejob.domain.transactions import Conflict, Put, Step, put_record, record_key
from remotejob.names import Field
from remotejob.ports import JobStore, Updated
from remotejob.testing.conformance import catalogue, samples
from remotejob.testing.conformance.catalogue import ANTECEDENT, EDGE
from remotejob.testing.conformance.samples import (
    LEASE,
    NOW,
    OTHER_TOKEN,
    RETENTION,
    SECOND,
    TOKEN,
)
from remotejob.testing.conformance.store_changes import assert_applied, assert_refused

_OTHER: Final = samples.job_id(30)
_LATER: Final = NOW + 2 * SECOND
_ONE: Final = frozenset({ANTECEDENT})
_BOTH: Final = frozenset({ANTECEDENT, _OTHER})
_OPEN: Final = sorted(set(State) - TERMINAL)
_LATE: Final = NOW + LEASE
"""When a dependent released with a delay becomes due."""
_TOLD: Final = first_line(Action.RESOLVED, at_ms=_LATER, actor="", detail=ANTECEDENT)
"""What a release leaves in the history of the dependent."""


def _submission(dependent: JobRecord, token: str = TOKEN) -> list[Step]:
    antecedents = sorted(dependent.blocked or ())
    return [
        put_record(dependent),
        *dependencies.edges_to_put(dependent.id, antecedents, token=token),
    ]


def _edges(store: JobStore, antecedent: str) -> list[Edge]:
    return [Edge.of(antecedent, item) for _, item in store.items(antecedent, EDGES)]


def _marked(record: JobRecord, **fields: Any) -> JobRecord:
    key = attention_key(Attention.WAITING, record.id)
    return replace(record, attention=key, attention_ms=_LATER, history=_TOLD, **fields)


def _release(store: JobStore, *, due_ms: int = 0) -> tuple[int, JobRecord | None]:
    """Release the dependent; return which of the changes applied, and the record."""
    tried = dependencies.releases(EDGE, now_ms=_LATER, due_ms=due_ms)
    for number, change in enumerate(tried):
        outcome = store.update(change)
        if isinstance(outcome, Updated):
            return number, outcome.record
    return len(tried), outcome.record


class EdgesConformance:
    """A dependent and its edges are stored together, and each edge is acted on once."""

    @pytest.mark.parametrize("state", _OPEN)
    def test_a_dependent_is_stored_with_its_edges(self, store: JobStore, state: State) -> None:
        antecedents = [samples.in_state(state, id=job_id) for job_id in sorted(_BOTH)]
        store.put_fresh(antecedents)
        dependent = samples.waiting(blocked=_BOTH)

        assert store.transact(_submission(dependent)) is None

        assert store.get(dependent.id) == dependent
        for antecedent in antecedents:
            assert store.get(antecedent.id) == replace(antecedent, dependents=1)
            edge = Edge(antecedent=antecedent.id, dependent=dependent.id, token=TOKEN)
            assert _edges(store, antecedent.id) == [edge]

    def test_edges_of_many_dependents_are_stored_with_one_job(self, store: JobStore) -> None:
        store.put_new(samples.running(id=ANTECEDENT))
        dependents = [samples.waiting(number, blocked=_ONE) for number in (3, 1, 2)]
        for dependent in dependents:
            assert store.transact(_submission(dependent)) is None

        found = [edge.dependent for edge in _edges(store, ANTECEDENT)]
        assert found == [samples.job_id(number) for number in (1, 2, 3)]

    @pytest.mark.parametrize("state", sorted(TERMINAL))
    def test_an_antecedent_that_has_ended_refuses_the_edge(
        self, store: JobStore, state: State
    ) -> None:
        first, second = sorted(_BOTH)
        ended = samples.in_state(state, id=second)
        store.put_fresh([samples.ready(id=first), ended])
        dependent = samples.waiting(blocked=_BOTH)

        conflict = store.transact(_submission(dependent))

        assert conflict == Conflict(4, ended.to_item())
        assert conflict.record == ended
        assert store.get(dependent.id) is None
        assert store.get(first) == samples.ready(id=first)
        assert _edges(store, first) == _edges(store, second) == []

    def test_an_antecedent_that_is_not_there_refuses_the_edge(self, store: JobStore) -> None:
        dependent = samples.waiting(blocked=_ONE)

        assert store.transact(_submission(dependent)) == Conflict(2, None)
        assert store.get(dependent.id) is None
        assert _edges(store, ANTECEDENT) == []

    def test_a_dependent_that_is_there_already_puts_no_edge(self, store: JobStore) -> None:
        dependent = samples.waiting(blocked=_ONE)
        store.put_fresh([samples.ready(id=ANTECEDENT), dependent])

        assert store.transact(_submission(dependent)) == Conflict(0, dependent.to_item())
        assert _edges(store, ANTECEDENT) == []

    def test_an_edge_put_again_has_its_new_token(self, store: JobStore) -> None:
        store.put_new(samples.ready(id=ANTECEDENT))
        _, *first = _submission(samples.waiting(blocked=_ONE))
        _, *again = _submission(samples.waiting(blocked=_ONE), token=OTHER_TOKEN)

        assert store.transact(first) is None
        assert store.transact(again) is None
        assert _edges(store, ANTECEDENT) == [replace(EDGE, token=OTHER_TOKEN)]

    def test_release_of_a_waiting_dependent_marks_it(self, store: JobStore) -> None:
        before = samples.waiting(blocked=_BOTH)
        store.put_new(before)

        after = _marked(before, blocked=frozenset({_OTHER}))
        assert _release(store) == (1, after)
        assert store.get(before.id) == after

    def test_a_dependent_released_by_all_can_be_claimed(self, store: JobStore) -> None:
        store.put_new(samples.waiting(blocked=_ONE))
        assert store.update(catalogue.claim()).record == store.get(samples.job_id())

        _, released = _release(store)

        assert released == _marked(samples.waiting(), blocked=None)
        claim = catalogue.claim(stamp_ms=_LATER)
        assert isinstance(store.update(claim), Updated)

    @pytest.mark.parametrize("due_ms", [NOW, _LATE], ids=["earlier", "then"])
    def test_release_with_a_delay_makes_the_dependent_due_then(
        self, store: JobStore, due_ms: int
    ) -> None:
        before = samples.waiting(blocked=_BOTH, due_ms=due_ms)
        store.put_new(before)

        after = _marked(before, blocked=frozenset({_OTHER}), due_ms=_LATE)
        assert _release(store, due_ms=_LATE) == (0, after)

    def test_release_with_a_delay_makes_no_dependent_due_earlier(self, store: JobStore) -> None:
        before = samples.waiting(blocked=_BOTH, due_ms=_LATE + 1)
        store.put_new(before)

        after = _marked(before, blocked=frozenset({_OTHER}))
        assert _release(store, due_ms=_LATE) == (1, after)

    def test_a_paused_dependent_loses_the_edge_and_takes_the_delay(self, store: JobStore) -> None:
        before = samples.in_state(State.PAUSED, blocked=_BOTH, due_ms=NOW)
        store.put_new(before)

        after = replace(before, blocked=frozenset({_OTHER}), due_ms=_LATE, history=_TOLD)
        assert _release(store, due_ms=_LATE) == (2, after)

    @pytest.mark.parametrize("state", sorted(set(State) - {State.WAITING}))
    def test_a_dependent_that_does_not_wait_loses_the_edge_and_nothing_else(
        self, store: JobStore, state: State
    ) -> None:
        before = samples.in_state(state, blocked=_BOTH)
        store.put_new(before)

        number, after = _release(store, due_ms=_LATE)

        assert number == len(dependencies.releases(EDGE, now_ms=NOW, due_ms=_LATE)) - 1
        expected = replace(before, blocked=frozenset({_OTHER}), history=_TOLD)
        assert after == expected == store.get(before.id)

    @pytest.mark.parametrize(
        "before",
        [
            samples.waiting(),
            samples.waiting(blocked=frozenset({_OTHER})),
            samples.in_state(State.PAUSED, blocked=frozenset({ANTECEDENT + "0"})),
        ],
        ids=["blocked by none", "blocked by another", "blocked by one whose id begins so"],
    )
    def test_release_is_refused_by_a_dependent_that_is(
        self, store: JobStore, before: JobRecord
    ) -> None:
        for change in dependencies.releases(EDGE, now_ms=_LATER, due_ms=_LATE):
            assert_refused(store, before, change)

    @pytest.mark.parametrize(
        "before",
        [samples.waiting(blocked=_BOTH), samples.in_state(State.PAUSED, blocked=_ONE)],
        ids=["waiting", "paused"],
    )
    def test_cascade_cancels_a_dependent_and_says_why(
        self, store: JobStore, before: JobRecord
    ) -> None:
        before = replace(before, errors_json=errors_to_json((samples.failure(),)))
        why = Failure(run_id="", attempt=0, at_ms=_LATER, kind="DependencyFailed", message="it")
        after = replace(
            before,
            state=State.CANCELLED,
            finished_ms=_LATER,
            updated_ms=_LATER,
            owed="status",
            history=first_line(Action.CANCELLED, at_ms=_LATER, actor="", detail="it"),
            errors_json=errors_to_json((samples.failure(), why)),
            attention=attention_key(Attention.OWED, before.id),
            attention_ms=_LATER,
        )
        change = dependencies.cascade(EDGE, before, why="it", now_ms=_LATER)
        assert_applied(store, before, change, after)

    @pytest.mark.parametrize(
        "before",
        [
            samples.waiting(blocked=frozenset({_OTHER})),
            samples.waiting(),
            samples.waiting(blocked=_ONE, updated_ms=_LATER + 1),
            *(samples.in_state(state, blocked=_ONE) for state in sorted(TERMINAL)),
        ],
        ids=["blocked by another", "released", "changed since it was read", *sorted(TERMINAL)],
    )
    def test_cascade_is_refused_by_a_dependent_that_is(
        self, store: JobStore, before: JobRecord
    ) -> None:
        seen = samples.waiting(blocked=_ONE)
        assert_refused(
            store, before, dependencies.cascade(EDGE, seen, why="it failed", now_ms=_LATER)
        )

    def test_a_spent_edge_stays_and_says_so(self, store: JobStore) -> None:
        store.put_new(samples.running(id=ANTECEDENT))
        dependent = samples.waiting(blocked=_ONE)
        store.transact(_submission(dependent))
        spend = dependencies.spend(EDGE, expires_s=(NOW + RETENTION) // 1000)

        # repeating it changes nothing
        for _ in range(2):
            assert store.transact([spend]) is None
            assert _edges(store, ANTECEDENT) == [replace(EDGE, spent=True)]
        item = store.item(EDGE.key)
        assert item is not None
        assert item[Field.EXPIRES] == (NOW + RETENTION) // 1000

    def test_an_edge_of_a_later_submission_is_not_spent_nor_cascaded_along(
        self, store: JobStore
    ) -> None:
        store.put_new(samples.running(id=ANTECEDENT))
        dependent = samples.waiting(blocked=_ONE)
        store.transact(_submission(dependent, token=OTHER_TOKEN))
        steps: list[Step] = [
            dependencies.cascade(EDGE, dependent, why="it failed", now_ms=_LATER),
            dependencies.spend(EDGE, expires_s=NOW // 1000),
        ]

        conflict = store.transact(steps)

        assert conflict == Conflict(1, store.item(EDGE.key))
        assert conflict.record is None
        assert store.get(dependent.id) == dependent
        assert _edges(store, ANTECEDENT) == [replace(EDGE, token=OTHER_TOKEN)]

    @pytest.mark.parametrize(
        ("antecedent", "number"),
        [
            (samples.failed(id=ANTECEDENT), None),
            (samples.in_state(State.CANCELLED, id=ANTECEDENT), None),
            (samples.waiting(id=ANTECEDENT), 2),
            (samples.in_state(State.COMPLETED, id=ANTECEDENT), 2),
            (samples.failed(id=ANTECEDENT, finished_ms=NOW + 1), 2),
        ],
        ids=["failed", "cancelled", "restarted", "completed since", "failed again"],
    )
    def test_a_dependent_is_cancelled_while_its_antecedent_has_ended_so(
        self, store: JobStore, antecedent: JobRecord, number: int | None
    ) -> None:
        store.put_new(samples.running(id=ANTECEDENT))
        dependent = samples.waiting(blocked=_ONE)
        store.transact(_submission(dependent))
        assert (
            store.transact([Put(key=record_key(ANTECEDENT), content=antecedent.to_item())]) is None
        )
        steps: list[Step] = [
            dependencies.cascade(EDGE, dependent, why="it failed", now_ms=_LATER),
            dependencies.spend(EDGE, expires_s=NOW // 1000),
            dependencies.check_in_vain(samples.failed(id=ANTECEDENT)),
        ]

        conflict = store.transact(steps)

        met = None if number is None else Conflict(number, antecedent.to_item())
        assert conflict == met
        assert (store.get(dependent.id) == dependent) is (met is not None)
        assert _edges(store, ANTECEDENT) == [replace(EDGE, spent=met is None)]

    def test_an_edge_that_is_gone_is_not_spent(self, store: JobStore) -> None:
        assert store.transact([dependencies.spend(EDGE, expires_s=NOW // 1000)]) == Conflict(
            0, None
        )
        assert store.item(EDGE.key) is None
