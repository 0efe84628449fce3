"""The suite for transactions, and for items other than records."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from remotejob.domain import run_changes, upkeep_changes
from remotejob.domain.changes import EXISTS, Change, Condition
from remotejob.domain.conditions import AtMost, Item
from remotejob.domain.marks import Attention
from remotejob.domain.record import JobRecord
from remotejob.domain.transactions import (
    ABSENT,
    SAME_TOKEN,
    STEPS_AT_MOST,
    Check,
    Conflict,
    Count,
    Erase,
    Key,
    Put,
    Step,
    key_of,
    put_record,
    record_key,
)
from remotejob.names import Field
from remotejob.ports import JobStore, Refused, Updated
from remotejob.testing.conformance import samples
from remotejob.testing.conformance.catalogue import EXAMPLES
from remotejob.testing.conformance.samples import NOW, SECOND

_PLACE: Final = "beside#records"
_SEEN: Final = {"token": "seen"}
_BEFORE: Final[Item] = {Field.TOKEN: "seen", Field.ATTEMPT: 3, Field.BLOCKED: frozenset("ab")}
_AFTER: Final[Item] = {Field.TOKEN: "later", Field.CONTENT: "größer"}
_KEYS: Final = {name: Key(_PLACE, name) for name in ("put", "erase", "check", "count")}
_KINDS: Final = ("change", *_KEYS)
_ANYTHING: Final = Condition(name="anything", expression=EXISTS)

_LINES: Final = ('[1,"paused","ana@laptop"]', '[2,"resumed","bo@desk"]')


def _at(key: Key, content: Item) -> Item:
    """The item as read, with its key."""
    return {**content, Field.PK: key.partition, Field.SK: key.name}


def _stored(store: JobStore, key: Key, content: Item = _BEFORE) -> Item:
    assert store.transact([Put(key=key, content=content)]) is None
    return _at(key, content)


def _steps(*refused: str) -> list[Step]:
    """One step of each kind; the conditions of those named in `refused` do not hold."""

    def seen(name: str) -> Item:
        return {"token": "other"} if name in refused else _SEEN

    change = upkeep_changes.swept(samples.ready(), now_ms=NOW)
    if "change" in refused:
        change = replace(change, values={"seen_updated": NOW + 1})
    return [
        change,
        Put(key=_KEYS["put"], content=_AFTER, condition=SAME_TOKEN, values=seen("put")),
        Erase(key=_KEYS["erase"], condition=SAME_TOKEN, values=seen("erase")),
        Check(key=_KEYS["check"], condition=SAME_TOKEN, values=seen("check")),
        Count(
            key=_KEYS["count"],
            add={Field.ATTEMPT: 2, Field.CRASHES: -1},
            condition=SAME_TOKEN,
            values=seen("count"),
        ),
    ]


def _before(store: JobStore, *, without: str = "") -> list[Item | None]:
    """Store the items that the steps expect, except one."""
    if without != "change":
        store.put_new(samples.ready())
    for name, key in _KEYS.items():
        if name != without:
            _stored(store, key)
    return _now(store)


def _now(store: JobStore) -> list[Item | None]:
    return [store.item(key_of(step)) for step in _steps()]


class TransactionsConformance:
    """A transaction takes effect as a whole, or not at all and returns the conflict."""

    def test_an_item_is_read_as_it_was_put(self, store: JobStore) -> None:
        key = Key("tenant#default#müller & söhne", "lock#000")

        stored = _stored(store, key, {**_BEFORE, Field.EXPIRES: 2**40})

        assert store.item(key) == stored
        assert store.item(Key(key.partition, "lock#001")) is None
        assert store.item(Key("tenant#default", key.name)) is None

    def test_a_record_is_an_item_too(self, store: JobStore) -> None:
        record = samples.failed(blocked=frozenset({"one"}))
        store.put_new(record)

        assert store.item(record_key(record.id)) == record.to_item()

    def test_all_steps_are_carried_out(self, store: JobStore) -> None:
        _before(store)

        assert store.transact(_steps()) is None

        assert _now(store) == [
            samples.ready(swept_ms=NOW).to_item(),
            _at(_KEYS["put"], _AFTER),
            None,
            _at(_KEYS["check"], _BEFORE),
            _at(_KEYS["count"], {**_BEFORE, Field.ATTEMPT: 5, Field.CRASHES: -1}),
        ]

    @pytest.mark.parametrize("refused", _KINDS)
    def test_a_step_that_is_refused_is_named_and_none_is_carried_out(
        self, store: JobStore, refused: str
    ) -> None:
        before = _before(store)
        number = _KINDS.index(refused)

        assert store.transact(_steps(refused)) == Conflict(number, before[number])
        assert _now(store) == before

    @pytest.mark.parametrize("absent", _KINDS)
    def test_a_step_that_meets_nothing_is_named_and_none_is_carried_out(
        self, store: JobStore, absent: str
    ) -> None:
        before = _before(store, without=absent)

        assert store.transact(_steps()) == Conflict(_KINDS.index(absent), None)
        assert _now(store) == before

    def test_of_steps_that_are_refused_the_first_is_named(self, store: JobStore) -> None:
        before = _before(store)

        assert store.transact(_steps("put", "check")) == Conflict(1, before[1])
        assert store.transact(list(reversed(_steps("put", "check")))) == Conflict(1, before[3])

    def test_as_many_steps_are_carried_out_as_may_be(self, store: JobStore) -> None:
        keys = [Key(_PLACE, f"{number:03d}") for number in range(STEPS_AT_MOST)]
        steps: list[Step] = [Put(key=key, content=_BEFORE, condition=ABSENT) for key in keys]

        assert store.transact(steps) is None
        assert [name for name, _ in store.items(_PLACE, "0")] == [key.name for key in keys]
        assert store.transact([*steps[1:], Check(key=keys[0], condition=ABSENT)]) == Conflict(
            0, _at(keys[1], _BEFORE)
        )

    def test_a_put_without_condition_replaces_the_whole_item(self, store: JobStore) -> None:
        _stored(store, _KEYS["put"])
        assert _stored(store, _KEYS["put"], _AFTER) == store.item(_KEYS["put"])

    def test_a_put_where_nothing_may_be_is_carried_out_once(self, store: JobStore) -> None:
        step = Put(key=_KEYS["put"], content=_AFTER, condition=ABSENT)

        assert store.transact([step]) is None
        again = store.transact([replace(step, content=_BEFORE)])

        assert again == Conflict(0, _at(step.key, _AFTER))
        assert store.item(step.key) == _at(step.key, _AFTER)

    def test_an_erased_item_is_gone_and_erasing_it_again_is_no_error(self, store: JobStore) -> None:
        key = _KEYS["erase"]
        _stored(store, key)

        for _ in range(2):
            assert store.transact([Erase(key=key)]) is None
            assert store.item(key) is None
            assert list(store.items(_PLACE, "erase")) == []

    def test_a_count_makes_the_item_it_counts_in(self, store: JobStore) -> None:
        key = _KEYS["count"]

        assert store.transact([Count(key=key, add={Field.ATTEMPT: 2, Field.CRASHES: -1})]) is None
        assert store.item(key) == _at(key, {Field.ATTEMPT: 2, Field.CRASHES: -1})
        assert store.transact([Count(key=key, add={Field.ATTEMPT: -2})]) is None
        assert store.item(key) == _at(key, {Field.ATTEMPT: 0, Field.CRASHES: -1})

    def test_a_count_can_require_that_there_is_no_item(self, store: JobStore) -> None:
        key = _KEYS["count"]
        step = Count(key=key, add={Field.ATTEMPT: 1}, condition=ABSENT)

        assert store.transact([step]) is None
        assert store.transact([step]) == Conflict(0, _at(key, {Field.ATTEMPT: 1}))

    def test_a_condition_is_judged_on_the_item_before_the_step(self, store: JobStore) -> None:
        key = _KEYS["count"]
        most = Condition(name="most", expression=AtMost(Field.ATTEMPT, "most"))
        step = Count(key=key, add={Field.ATTEMPT: 1}, condition=most, values={"most": 3})
        _stored(store, key, {Field.ATTEMPT: 3})

        assert store.transact([step]) is None
        assert store.transact([step]) == Conflict(0, _at(key, {Field.ATTEMPT: 4}))

        swap = Put(key=_KEYS["put"], content=_AFTER, condition=SAME_TOKEN, values=_SEEN)
        _stored(store, swap.key)
        assert store.transact([swap]) is None
        assert store.transact([swap]) == Conflict(0, _at(swap.key, _AFTER))

    def test_a_check_that_nothing_is_there(self, store: JobStore) -> None:
        check = Check(key=_KEYS["check"], condition=ABSENT)

        assert store.transact([check]) is None
        assert store.item(check.key) is None
        stored = _stored(store, check.key)
        assert store.transact([check]) == Conflict(0, stored)

    def test_a_record_is_put_once(self, store: JobStore) -> None:
        record = samples.waiting(blocked=frozenset({"one"}))
        background = Put(key=_KEYS["put"], content=_AFTER)

        assert store.transact([put_record(record)]) is None
        assert store.get(record.id) == record

        conflict = store.transact([background, put_record(samples.ready())])
        assert conflict == Conflict(1, record.to_item())
        assert conflict.record == record
        assert store.get(record.id) == record
        assert store.item(background.key) is None

    @pytest.mark.parametrize(("before", "change"), EXAMPLES.values(), ids=EXAMPLES)
    def test_a_change_in_a_transaction_has_the_effect_of_an_update(
        self, store: JobStore, before: JobRecord, change: Change
    ) -> None:
        other = samples.job_id(9)
        store.put_new(before)
        store.put_new(replace(before, id=other))

        updated = store.update(change)
        conflict = store.transact([replace(change, job_id=other)])

        assert isinstance(updated, Updated)
        assert updated.record != before
        assert conflict is None
        transacted = store.get(other)
        assert transacted is not None
        assert replace(transacted, id=before.id) == updated.record == store.get(before.id)
        self.index_settled()
        marks = self._marks(store)
        assert marks.get(other) == marks.get(before.id) == updated.record.attention_ms

    @pytest.mark.parametrize(("before", "change"), EXAMPLES.values(), ids=EXAMPLES)
    def test_a_change_of_a_job_that_is_not_there_is_refused(
        self, store: JobStore, before: JobRecord, change: Change
    ) -> None:
        steps: list[Step] = [Put(key=_KEYS["put"], content=_AFTER), change]

        assert store.update(change) == Refused(None)
        assert store.transact(steps) == Conflict(1, None)
        assert store.get(before.id) is None
        assert store.item(record_key(before.id)) is None
        assert store.item(_KEYS["put"]) is None

    def test_a_change_sets_adds_includes_discards_and_removes_at_once(
        self, store: JobStore
    ) -> None:
        before = samples.running(
            blocked=frozenset("abc"), crashed_runs=frozenset("r"), owed="status"
        )
        change = Change(
            job_id=before.id,
            condition=_ANYTHING,
            values={},
            set={Field.NEXT: samples.job_id(9)},
            add={Field.ATTEMPT: 2, Field.RELEASES: 1},
            include={Field.CRASHED_RUNS: frozenset("rs"), Field.HISTORY: frozenset(_LINES)},
            discard={Field.BLOCKED: frozenset("acx")},
            remove=(Field.OWED, Field.SWEPT),
        )
        store.put_new(before)

        after = replace(
            before,
            next_id=samples.job_id(9),
            attempt=3,
            releases=1,
            crashed_runs=frozenset("rs"),
            history=frozenset(_LINES),
            blocked=frozenset("b"),
            owed=None,
        )
        assert store.update(change) == Updated(after)
        assert store.get(before.id) == after

    def test_members_that_are_put_into_a_set_are_added_to_those_there(
        self, store: JobStore
    ) -> None:
        before = samples.ready()
        store.put_new(before)
        changes = [
            Change(
                job_id=before.id,
                condition=_ANYTHING,
                values={},
                include={Field.HISTORY: frozenset({line})},
            )
            for line in _LINES
        ]

        # into a set that is absent, one that has others, and one that has it already
        for change in (*changes, changes[0]):
            assert isinstance(store.update(change), Updated)
        assert store.get(before.id) == replace(before, history=frozenset(_LINES))

    def test_a_set_that_loses_its_last_member_is_absent(self, store: JobStore) -> None:
        before = samples.waiting(blocked=frozenset("ab"))
        discard = Change(
            job_id=before.id,
            condition=_ANYTHING,
            values={},
            discard={Field.BLOCKED: frozenset("ab")},
        )
        store.put_new(before)

        # once from a set, once from an absent one
        for _ in range(2):
            assert store.update(discard) == Updated(replace(before, blocked=None))
            item = store.item(record_key(before.id))
            assert item is not None
            assert Field.BLOCKED not in item

    def test_marks_follow_transactions(self, store: JobStore) -> None:
        first, second = samples.waiting(1), samples.silent(2)
        store.put_new(first)
        store.put_new(second)
        steps: list[Step] = [
            put_record(samples.waiting(3)),
            upkeep_changes.move_mark(first, to_ms=NOW + 5 * SECOND),
            run_changes.expire(second, now_ms=NOW + SECOND, skew_ms=0),
        ]

        refused = Check(key=_KEYS["put"], condition=SAME_TOKEN, values=_SEEN)
        assert store.transact([*steps, refused]) == Conflict(3, None)
        self.index_settled()
        assert self._marks(store) == {first.id: NOW + SECOND, second.id: NOW}

        assert store.transact(steps) is None
        self.index_settled()
        assert self._marks(store) == {
            first.id: NOW + 5 * SECOND,
            second.id: NOW + SECOND,
            samples.job_id(3): NOW + SECOND,
        }

    def test_an_erased_record_leaves_no_mark_and_no_place_in_a_listing(
        self, store: JobStore
    ) -> None:
        gone, kept = samples.waiting(1), samples.waiting(2)
        store.put_fresh([gone, kept])

        assert store.transact([Erase(key=record_key(gone.id))]) is None

        assert store.get(gone.id) is None
        assert list(store.listing(record_key(gone.id).partition)) == [kept]
        self.index_settled()
        assert self._marks(store) == {kept.id: NOW + SECOND}
        assert store.put_new(gone) == Updated(gone)

    def test_items_come_in_order_of_name(self, store: JobStore) -> None:
        names = [f"waiter#{number:03d}" for number in (30, 4, 100, 5)]
        for name in names:
            _stored(store, Key(_PLACE, name), {Field.JOB: name})

        assert list(store.items(_PLACE, "waiter#")) == [
            (name, _at(Key(_PLACE, name), {Field.JOB: name})) for name in sorted(names)
        ]

    def test_items_are_listed_by_partition_and_prefix(self, store: JobStore) -> None:
        for place in (_PLACE, "beside#others"):
            for name in ("lock#000", "waiter#1", "waiter", "waiting#1"):
                _stored(store, Key(place, name), {Field.JOB: place})

        assert list(store.items(_PLACE, "waiter#")) == [
            ("waiter#1", _at(Key(_PLACE, "waiter#1"), {Field.JOB: _PLACE}))
        ]
        assert [name for name, _ in store.items(_PLACE, "wait")] == [
            "waiter",
            "waiter#1",
            "waiting#1",
        ]
        assert list(store.items(_PLACE, "x")) == []
        assert list(store.items("nowhere", "waiter#")) == []

    def test_items_of_more_than_a_page_are_read_whole(self, store: JobStore) -> None:
        names = [f"log#{number:02d}" for number in range(30)]
        for name in names:
            store.put_note(_PLACE, name, "x" * 50_000, expires_s=NOW // 1000)

        assert [name for name, _ in store.items(_PLACE, "log#")] == names

    def test_what_is_read_is_not_changed_by_what_is_written_later(self, store: JobStore) -> None:
        key = _KEYS["count"]
        before = _stored(store, key)
        read = store.item(key)
        listed = dict(store.items(_PLACE, "count"))

        store.transact([Count(key=key, add={Field.ATTEMPT: 1})])

        assert read == before
        assert listed == {key.name: before}

    def index_settled(self) -> None:
        """Override this if the attention index lags behind the records."""

    def _marks(self, store: JobStore) -> dict[str, int]:
        kinds = (*Attention.ACTED_ON, Attention.FAILED, Attention.PAUSED)
        return {
            mark.job_id: mark.at_ms
            for kind in kinds
            for mark in store.attention(kind, 0, until_ms=NOW + 3600 * SECOND)
        }
