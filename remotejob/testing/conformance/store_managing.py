"""The suite for commands, and for what a removed job leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any, Final

import pytest

from remotejob.domain import command_changes
from remotejob.domain.changes import Change
from remotejob.domain.ids import partition_of
from remotejob.domain.marks import Attention, attention_key, mark
from remotejob.domain.record import JobRecord
from remotejob.domain.retry import Retry
from remotejob.domain.states import TERMINAL, Command, State, sources_of
from remotejob.domain.transactions import Conflict, Erase, Key, Put, put_record, record_key
from remotejob.names import Field
from remotejob.ports import JobStore, Refused, Updated
from remotejob.testing.conformance import samples
from remotejob.testing.conformance.catalogue import ANTECEDENT, EXAMPLES, LIMIT
from remotejob.testing.conformance.samples import (
    LEASE,
    NOW,
    OTHER_TOKEN,
    RETENTION,
    SECOND,
    SKEW,
    TOKEN,
)
from remotejob.testing.conformance.store_changes import assert_applied, assert_refused

_LATER: Final = NOW + 2 * SECOND
_BLOCKED: Final = frozenset({ANTECEDENT, "another"})

Build = Callable[[JobRecord], Change]

_COMMANDS: Final[dict[Command, Build]] = {
    Command.PAUSE: lambda record: command_changes.pause(record, now_ms=_LATER),
    Command.RESUME: lambda record: command_changes.resume(record, now_ms=_LATER),
    Command.MAKE_READY: lambda record: command_changes.make_ready(
        record, due_ms=NOW + LEASE, now_ms=_LATER
    ),
    Command.CANCEL: lambda record: command_changes.cancel(record, now_ms=_LATER),
    Command.RESTART: lambda record: command_changes.restart(record, now_ms=_LATER),
}
_TARGETS: Final = {
    Command.PAUSE: State.PAUSED,
    Command.RESUME: State.WAITING,
    Command.MAKE_READY: State.WAITING,
    Command.CANCEL: State.CANCELLED,
    Command.RESTART: State.WAITING,
}
_FROM: Final = [(name, state) for name in _COMMANDS for state in sorted(sources_of(name))]
_NOT_FROM: Final = [pair for pair in product(_COMMANDS, State) if pair not in _FROM]

_NOT_REMOVABLE: Final = {
    "something owed": samples.failed(),
    "cancelled, its run still winding down": samples.in_state(
        State.CANCELLED, lease_ms=NOW + LEASE
    ),
    "cancelled, a lease within the margin for skew": samples.in_state(
        State.CANCELLED, lease_ms=_LATER - SKEW + 1
    ),
    "changed since it was read": samples.in_state(State.COMPLETED, updated_ms=NOW + 1),
    "restarted": samples.waiting(),
    **{str(state): samples.in_state(state) for state in sorted(set(State) - TERMINAL)},
}


def _settled(state: State, **fields: Any) -> JobRecord:
    return samples.in_state(state, owed=None, **fields)


def _marked(record: JobRecord, kind: str, at_ms: int = _LATER) -> JobRecord:
    return replace(record, attention=attention_key(kind, record.id), attention_ms=at_ms)


def _waits(record: JobRecord, *, due_ms: int, **fields: Any) -> JobRecord:
    after = replace(record, state=State.WAITING, due_ms=due_ms, updated_ms=_LATER, **fields)
    return _marked(after, Attention.WAITING)


def _remove(record: JobRecord) -> Put:
    return command_changes.remove(record, now_ms=_LATER, kept_ms=RETENTION, token=TOKEN)


def _removed(store: JobStore, record: JobRecord) -> dict[str, Any]:
    """Store and remove a job; return the item it should leave in its place."""
    store.put_new(record)
    assert store.transact([_remove(record)]) is None
    place = record_key(record.id)
    return {
        Field.PK: place.partition,
        Field.SK: place.name,
        Field.REMOVED: _LATER,
        Field.EXPIRES: (_LATER + RETENTION) // 1000,
        Field.TOKEN: TOKEN,
        Field.QUEUE: record.queue,
        **mark(Attention.REMOVED, record.id, _LATER),
    }


class ManagingConformance:
    """Commands change a job without holding its message."""

    @pytest.mark.parametrize(("command", "state"), _FROM)
    def test_a_manager_moves_a_job(self, store: JobStore, command: Command, state: State) -> None:
        before = samples.in_state(state, owed=None)
        store.put_new(before)

        outcome = store.update(_COMMANDS[command](before))

        assert isinstance(outcome, Updated)
        assert outcome.record.state is _TARGETS[command]
        assert outcome.record.updated_ms == outcome.record.attention_ms == _LATER
        assert store.get(before.id) == outcome.record

    @pytest.mark.parametrize(("command", "state"), _NOT_FROM)
    def test_a_manager_is_refused_by_a_job_that_is_elsewhere(
        self, store: JobStore, command: Command, state: State
    ) -> None:
        before = samples.in_state(state, owed=None)
        assert_refused(store, before, _COMMANDS[command](before))

    @pytest.mark.parametrize(("command", "state"), _FROM)
    def test_a_manager_is_refused_by_a_job_written_later(
        self, store: JobStore, command: Command, state: State
    ) -> None:
        seen = samples.in_state(state, owed=None)
        before = replace(seen, updated_ms=_LATER + 1)
        assert_refused(store, before, _COMMANDS[command](seen))

    @pytest.mark.parametrize(("command", "state"), _FROM)
    def test_a_manager_behind_the_records_clock_sets_no_time_stamp_back(
        self, store: JobStore, command: Command, state: State
    ) -> None:
        before = samples.in_state(state, owed=None, updated_ms=NOW + LEASE)
        store.put_new(before)

        outcome = store.update(_COMMANDS[command](before))

        # later than the record's time, so that a command which arrives late finds it was overtaken
        assert isinstance(outcome, Updated)
        assert outcome.record.updated_ms == NOW + LEASE + 1

    def test_a_command_that_arrives_late_finds_that_another_has_overtaken_it(
        self, store: JobStore
    ) -> None:
        before = samples.ready(updated_ms=NOW + LEASE)
        store.put_new(before)
        pause = _COMMANDS[Command.PAUSE](before)
        paused = store.update(pause)
        assert isinstance(paused, Updated)
        resumed = store.update(_COMMANDS[Command.RESUME](paused.record))
        assert isinstance(resumed, Updated)

        assert store.update(pause) == Refused(resumed.record)

    def test_pause_keeps_the_due_time_and_what_blocks_and_gives_up_the_place_at_a_lock(
        self, store: JobStore
    ) -> None:
        before = samples.waiting(due_ms=NOW + LEASE, blocked=_BLOCKED, parked=LIMIT.partition)
        after = replace(before, state=State.PAUSED, parked=None, updated_ms=_LATER)
        assert_applied(
            store, before, _COMMANDS[Command.PAUSE](before), _marked(after, Attention.PAUSED)
        )

    @pytest.mark.parametrize("due_ms", [None, NOW, _LATER], ids=["none", "past", "now"])
    def test_resume_makes_a_job_due_now(self, store: JobStore, due_ms: int | None) -> None:
        before = samples.in_state(State.PAUSED, due_ms=due_ms)
        after = _waits(before, due_ms=_LATER)
        assert_applied(store, before, _COMMANDS[Command.RESUME](before), after)

    def test_resume_makes_a_job_due_no_earlier_than_before(self, store: JobStore) -> None:
        before = samples.in_state(State.PAUSED, due_ms=NOW + LEASE, blocked=_BLOCKED)
        after = _waits(before, due_ms=NOW + LEASE)
        assert_applied(store, before, _COMMANDS[Command.RESUME](before), after)

    @pytest.mark.parametrize("due_ms", [NOW - LEASE, NOW + LEASE], ids=["earlier", "later"])
    def test_make_ready_sets_the_due_time_and_nothing_else(
        self, store: JobStore, due_ms: int
    ) -> None:
        before = samples.waiting(blocked=_BLOCKED, depends_json='["a"]', parked=LIMIT.partition)
        change = command_changes.make_ready(before, due_ms=due_ms, now_ms=_LATER)
        assert_applied(store, before, change, _waits(before, due_ms=due_ms))

    def test_make_ready_independent_waits_for_no_other_job(self, store: JobStore) -> None:
        before = samples.waiting(blocked=_BLOCKED, depends_json='["a"]')
        change = command_changes.make_ready(before, due_ms=NOW, now_ms=_LATER, independent=True)
        after = _waits(before, due_ms=NOW, blocked=None, depends_json=None)
        assert_applied(store, before, change, after)

    @pytest.mark.parametrize(
        "before",
        [
            samples.running(),
            samples.waiting(blocked=_BLOCKED, parked=LIMIT.partition),
            samples.in_state(State.PAUSED),
        ],
        ids=["running", "waiting", "paused"],
    )
    def test_cancel_owes_its_consequences_and_leaves_the_lease(
        self, store: JobStore, before: JobRecord
    ) -> None:
        after = replace(
            before,
            state=State.CANCELLED,
            finished_ms=_LATER,
            updated_ms=_LATER,
            owed="status",
            parked=None,
        )
        assert_applied(
            store, before, _COMMANDS[Command.CANCEL](before), _marked(after, Attention.OWED)
        )

    @pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
    def test_restart_begins_from_nothing(self, store: JobStore, state: State) -> None:
        before = _settled(
            state,
            attempt=3,
            failures=3,
            crashes=2,
            releases=1,
            lease_ms=NOW + LEASE,
            swept_ms=NOW,
            expires_s=NOW,
            blocked=_BLOCKED,
            retry_json='{"n":3}',
            data_json="[1]",
        )
        after = _waits(
            before,
            due_ms=_LATER,
            finished_ms=None,
            failures=0,
            crashes=0,
            releases=0,
            swept_ms=None,
            expires_s=None,
            blocked=None,
        )
        assert_applied(store, before, _COMMANDS[Command.RESTART](before), after)

    def test_restart_with_another_policy_and_jobs_to_wait_for(self, store: JobStore) -> None:
        before = _settled(State.FAILED, retry_json='{"n":3}', blocked=frozenset({"gone"}))
        retry = Retry(max_attempts=7)
        change = command_changes.restart(before, now_ms=_LATER, retry=retry, blocked=_BLOCKED)
        after = _waits(
            before,
            due_ms=_LATER,
            finished_ms=None,
            failures=0,
            blocked=_BLOCKED,
            retry_json=retry.to_json(),
        )
        assert_applied(store, before, change, after)

    @pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
    def test_restart_is_refused_while_something_is_owed(
        self, store: JobStore, state: State
    ) -> None:
        before = samples.failed(state=state)
        assert_refused(store, before, _COMMANDS[Command.RESTART](before))

    @pytest.mark.parametrize(
        "record",
        [
            *(_settled(state) for state in sorted(TERMINAL)),
            _settled(State.CANCELLED, lease_ms=_LATER - SKEW),
        ],
        ids=[*sorted(TERMINAL), "cancelled, a lapsed lease"],
    )
    def test_a_removed_job_is_not_there_and_says_so(
        self, store: JobStore, record: JobRecord
    ) -> None:
        left = _removed(store, record)

        assert store.get(record.id) is None
        assert store.get_many([record.id]) == []
        assert list(store.listing(partition_of(record.id))) == []
        assert list(store.listing(partition_of(record.id), after="0")) == []
        assert store.item(record_key(record.id)) == left

    def test_a_removed_job_leaves_no_mark_and_its_neighbours_be(self, store: JobStore) -> None:
        kept = [samples.failed(1, owed=None), samples.failed(3, owed=None)]
        store.put_fresh(kept)
        _removed(store, samples.failed(2, owed=None))

        self.index_settled()
        marks = list(store.attention(Attention.OWED, 0, until_ms=NOW + LEASE))
        assert [mark.job_id for mark in marks] == [record.id for record in kept]
        listed = list(store.listing(partition_of(kept[0].id), after=samples.job_id(0)))
        assert listed == kept

    @pytest.mark.parametrize("before", _NOT_REMOVABLE.values(), ids=_NOT_REMOVABLE)
    def test_remove_is_refused_by_a_job_that_is(self, store: JobStore, before: JobRecord) -> None:
        store.put_new(before)
        step = _remove(replace(before, updated_ms=NOW))

        conflict = store.transact([step])

        assert conflict == Conflict(0, before.to_item())
        assert conflict.record == before
        assert store.get(before.id) == before

    def test_remove_of_a_job_that_is_gone_leaves_nothing(self, store: JobStore) -> None:
        record = _settled(State.FAILED)

        assert store.transact([_remove(record)]) == Conflict(0, None)
        assert store.item(record_key(record.id)) is None

    def test_a_job_is_removed_once(self, store: JobStore) -> None:
        record = _settled(State.FAILED)
        left = _removed(store, record)

        again = store.transact(
            [command_changes.remove(record, now_ms=NOW + LEASE, kept_ms=0, token=OTHER_TOKEN)]
        )

        assert again == Conflict(0, left)
        assert again.record is None

    def test_a_tombstone_is_cleared_by_the_command_that_left_it(self, store: JobStore) -> None:
        record = _settled(State.FAILED)
        left = _removed(store, record)
        cleared = partial(
            command_changes.cleared,
            record.id,
            removed_ms=_LATER,
            expires_s=(_LATER + RETENTION) // 1000,
        )

        assert store.transact([cleared(token=OTHER_TOKEN)]) == Conflict(0, left)
        assert store.transact([cleared(token=TOKEN)]) is None

        place = record_key(record.id)
        gone = {Field.QUEUE, Field.ATTENTION, Field.ATTENTION_AT}
        assert store.item(place) == {n: value for n, value in left.items() if n not in gone}

    def test_a_removed_job_is_not_made_again(self, store: JobStore) -> None:
        record = _settled(State.COMPLETED)
        left = _removed(store, record)

        assert store.put_new(samples.ready()) == Refused(None)
        conflict = store.transact([put_record(samples.ready())])
        assert conflict == Conflict(0, left)
        assert conflict.record is None
        assert store.item(record_key(record.id)) == left

    @pytest.mark.parametrize(("before", "change"), EXAMPLES.values(), ids=EXAMPLES)
    def test_a_removed_job_refuses(
        self, store: JobStore, before: JobRecord, change: Change
    ) -> None:
        left = _removed(store, _settled(State.FAILED, id=before.id))

        assert store.update(change) == Refused(None)
        assert store.transact([change]) == Conflict(0, left)
        assert store.item(record_key(before.id)) == left

    def test_notes_are_erased_by_name(self, store: JobStore) -> None:
        job_id = samples.job_id()
        for name in ("log#1", "log#2"):
            store.put_note(job_id, name, "text", expires_s=NOW // 1000)

        assert store.transact([Erase(key=Key(job_id, "log#1"))]) is None

        assert list(store.notes(job_id, "log#")) == [("log#2", "text")]
        assert store.item(Key(job_id, "log#1")) is None

    def index_settled(self) -> None:
        """Override this if the attention index lags behind the records."""
