"""The conformance suites fail on backends that break a promise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from remotejob.backends.memory import MemoryFiles, MemoryMessages, MemoryStore
from remotejob.domain.changes import Change, Condition
from remotejob.domain.conditions import All, Item
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.domain.transactions import (
    Check,
    Conflict,
    Count,
    Erase,
    Put,
    Step,
    key_of,
    record_key,
)
from remotejob.domain.upkeep_changes import swept
from remotejob.names import Field
from remotejob.ports import Address, Capabilities, Mark, Received, Refused, Updated
from remotejob.testing import FakeClock
from remotejob.testing.conformance import FilesConformance, MessagesConformance, StoreConformance
from remotejob.testing.conformance.samples import NOW, ready, running, silent

_ALWAYS = Condition(name="always", expression=All())


class IgnoresConditions(MemoryStore):
    def update(self, change: Change) -> Updated | Refused:
        return super().update(replace(change, condition=_ALWAYS))


class RemovesNothing(MemoryStore):
    def update(self, change: Change) -> Updated | Refused:
        return super().update(replace(change, remove=()))


class TellsNotWhoRefused(MemoryStore):
    def update(self, change: Change) -> Updated | Refused:
        outcome = super().update(change)
        return Refused(None) if isinstance(outcome, Refused) else outcome


class MakesGhosts(MemoryStore):
    def update(self, change: Change) -> Updated | Refused:
        if self.get(change.job_id) is None:
            self.put_new(silent(id=change.job_id))
        return super().update(change)


class Overwrites(MemoryStore):
    def put_new(self, record: JobRecord) -> Updated | Refused:
        there = self.get(record.id)
        self.transact([Put(key=record_key(record.id), content=record.to_item())])
        return Updated(record) if there is None else Refused(there)


class KeepsTheFirstBatch(MemoryStore):
    def put_fresh(self, records: Sequence[JobRecord]) -> None:
        super().put_fresh(records[:25])


class WritesManyWithoutACondition(MemoryStore):
    def put_fresh(self, records: Sequence[JobRecord]) -> None:
        for record in records:
            self.transact([Put(key=record_key(record.id), content=record.to_item())])


class MarksInNoOrder(MemoryStore):
    def attention(self, kind: str, shard: int, *, until_ms: int) -> Iterator[Mark]:
        return reversed(list(super().attention(kind, shard, until_ms=until_ms)))


class ListsOldestFirst(MemoryStore):
    def listing(self, partition: str, *, after: str | None = None) -> Iterator[JobRecord]:
        return super().listing(partition, after=after or "")


class StopsHalfWay(MemoryStore):
    def transact(self, steps: Sequence[Step]) -> Conflict | None:
        for number, step in enumerate(steps):
            conflict = super().transact([step])
            if conflict is not None:
                return replace(conflict, step=number)
        return None


class NamesTheLastStep(MemoryStore):
    def transact(self, steps: Sequence[Step]) -> Conflict | None:
        conflict = super().transact(steps)
        return None if conflict is None else replace(conflict, step=len(steps) - 1)


class TellsNotWhatItMet(MemoryStore):
    def transact(self, steps: Sequence[Step]) -> Conflict | None:
        conflict = super().transact(steps)
        return None if conflict is None else replace(conflict, item=None)


class ChecksNothing(MemoryStore):
    def transact(self, steps: Sequence[Step]) -> Conflict | None:
        return super().transact([step for step in steps if not isinstance(step, Check)])


class JudgesByWhatItDid(MemoryStore):
    def transact(self, steps: Sequence[Step]) -> Conflict | None:
        counts = [replace(one, condition=None) for one in steps if isinstance(one, Count)]
        super().transact(counts)
        conflict = super().transact(steps)
        super().transact(
            [replace(one, add={name: -by for name, by in one.add.items()}) for one in counts]
        )
        return conflict


class LeavesItems(MemoryStore):
    def transact(self, steps: Sequence[Step]) -> Conflict | None:
        return super().transact([step for step in steps if not isinstance(step, Erase)])


class DiscardsNothing(MemoryStore):
    def update(self, change: Change) -> Updated | Refused:
        return super().update(replace(change, discard={}))


class KeepsTheLastMember(MemoryStore):
    def update(self, change: Change) -> Updated | Refused:
        for name, members in change.include.items():
            change = replace(change, include={}, set={**change.set, name: members})
        return super().update(change)


class KeepsEmptySets(MemoryStore):
    def update(self, change: Change) -> Updated | Refused:
        outcome = super().update(change)
        if isinstance(outcome, Updated) and change.discard and not outcome.record.blocked:
            return Updated(replace(outcome.record, blocked=frozenset()))
        return outcome


class PutsWhereAJobWasRemoved(MemoryStore):
    def put_new(self, record: JobRecord) -> Updated | Refused:
        outcome = super().put_new(record)
        if outcome == Refused(None):
            self.transact([Put(key=record_key(record.id), content=record.to_item())])
            return Updated(record)
        return outcome


class ItemsInNoOrder(MemoryStore):
    def items(
        self, partition: str, prefix: str, *, at_a_time: int | None = None
    ) -> Iterator[tuple[str, Item]]:
        return reversed(list(super().items(partition, prefix)))


class ItemsOfAllPrefixes(MemoryStore):
    def items(
        self, partition: str, prefix: str, *, at_a_time: int | None = None
    ) -> Iterator[tuple[str, Item]]:
        return super().items(partition, "")


class ForgetsTheMark(MemoryStore):
    def transact(self, steps: Sequence[Step]) -> Conflict | None:
        return super().transact([_unmarked(step) for step in steps])


class LooksBeforeItTransacts(MemoryStore):
    """Judges first, and acts when all racers have judged."""

    def __init__(self) -> None:
        super().__init__()
        self._judged = Barrier(16)

    def transact(self, steps: Sequence[Step]) -> Conflict | None:
        for number, step in enumerate(steps):
            item = self.item(key_of(step))
            condition = step.condition
            if condition and not condition.expression.holds(item or {}, step.values):
                return Conflict(number, item)
        self._judged.wait()
        return super().transact([_unguarded(step) for step in steps])


def _unguarded(step: Step) -> Step:
    if isinstance(step, Change | Check):
        return replace(step, condition=_ALWAYS)
    return replace(step, condition=None)


def _unmarked(step: Step) -> Step:
    if not isinstance(step, Change):
        return step
    return replace(
        step,
        set={name: value for name, value in step.set.items() if name != Field.ATTENTION_AT},
    )


@pytest.mark.parametrize(
    ("broken", "test", "arguments"),
    [
        (IgnoresConditions, "test_claim_is_refused_by_a_job_that_is", [ready(lease_ms=2**50)]),
        (IgnoresConditions, "test_heartbeat_never_revives_a_lapsed_lease", []),
        (IgnoresConditions, "test_reclaim_of_one_dead_run_succeeds_once", []),
        (IgnoresConditions, "test_of_threads_that_claim_one_job_exactly_one_wins", []),
        (RemovesNothing, "test_a_claim_takes_the_mark_away", []),
        (RemovesNothing, "test_outcome_of_our_run", ["complete"]),
        (TellsNotWhoRefused, "test_claim_sent_twice_is_refused_by_its_own_effect", []),
        (Overwrites, "test_put_new_returns_the_record_that_was_there_and_leaves_it", []),
        (KeepsTheFirstBatch, "test_put_fresh_stores_many_records", []),
        (WritesManyWithoutACondition, "test_put_fresh_leaves_a_record_as_it_is", []),
        (WritesManyWithoutACondition, "test_put_fresh_brings_no_removed_job_back", []),
        (MarksInNoOrder, "test_marks_come_earliest_first_up_to_the_time_asked_for", []),
        (ListsOldestFirst, "test_a_partition_lists_newest_first", []),
        (StopsHalfWay, "test_a_step_that_is_refused_is_named_and_none_is_carried_out", ["count"]),
        (StopsHalfWay, "test_an_antecedent_that_has_ended_refuses_the_edge", [State.FAILED]),
        (NamesTheLastStep, "test_of_steps_that_are_refused_the_first_is_named", []),
        (TellsNotWhatItMet, "test_a_lock_that_is_held_refuses_the_claim", []),
        (ChecksNothing, "test_no_lock_is_taken_over_from_a_holder_that", [running(30)]),
        (ChecksNothing, "test_a_waiter_whose_job_is_parked_there_stays", []),
        (JudgesByWhatItDid, "test_a_condition_is_judged_on_the_item_before_the_step", []),
        (LeavesItems, "test_a_holder_lets_go", []),
        (LeavesItems, "test_notes_are_erased_by_name", []),
        (DiscardsNothing, "test_release_of_a_waiting_dependent_marks_it", []),
        (KeepsTheLastMember, "test_members_that_are_put_into_a_set_are_added_to_those_there", []),
        (KeepsEmptySets, "test_a_set_that_loses_its_last_member_is_absent", []),
        (PutsWhereAJobWasRemoved, "test_a_removed_job_is_not_made_again", []),
        (ItemsInNoOrder, "test_items_come_in_order_of_name", []),
        (ItemsOfAllPrefixes, "test_items_are_listed_by_partition_and_prefix", []),
        (ForgetsTheMark, "test_marks_follow_transactions", []),
        (LooksBeforeItTransacts, "test_of_threads_that_take_one_lock_exactly_one_wins", [None]),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_the_store_suite_finds_a_store_that(
    broken: type[MemoryStore], test: str, arguments: list[Any]
) -> None:
    run = getattr(StoreConformance(), test)
    run(MemoryStore(), *arguments)
    with pytest.raises(AssertionError):
        run(broken(), *arguments)


def test_the_store_suite_finds_a_store_that_makes_ghosts() -> None:
    run = StoreConformance().test_a_change_of_a_job_that_is_not_there_is_refused
    run(MemoryStore(), silent(), swept(silent(), now_ms=NOW))
    with pytest.raises(AssertionError):
        run(MakesGhosts(), silent(), swept(silent(), now_ms=NOW))


class NeverHides(MemoryMessages):
    def receive(
        self, address: Address, *, limit: int, wait: timedelta, hidden: timedelta
    ) -> list[Received]:
        return super().receive(address, limit=limit, wait=wait, hidden=timedelta(0))


class DeletesNothing(MemoryMessages):
    def delete(self, address: Address, receipts: Sequence[str]) -> None:
        pass


class HidesNothing(MemoryMessages):
    def hide(self, address: Address, receipts: Sequence[str], span: timedelta) -> None:
        pass


class HidesForEver(MemoryMessages):
    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, max_hidden=self._longest)

    _longest = timedelta(hours=12)

    def hide(self, address: Address, receipts: Sequence[str], span: timedelta) -> None:
        self._longest = timedelta(days=14)
        super().hide(address, receipts, span)
        self._longest = timedelta(hours=12)


@pytest.mark.parametrize(
    ("broken", "run"),
    [
        (
            HidesForEver,
            MessagesConformance.test_a_message_is_hidden_so_long_from_its_receive_and_no_longer,
        ),
        (
            NeverHides,
            MessagesConformance.test_a_received_message_is_hidden_until_its_timeout_ends,
        ),
        (DeletesNothing, MessagesConformance.test_a_deleted_message_never_comes_again),
        (HidesNothing, MessagesConformance.test_hide_extends_the_timeout_from_now),
    ],
)
def test_the_messages_suite_finds_a_queue_that(
    broken: type[MemoryMessages], run: Callable[..., None]
) -> None:
    sound, clock = FakeClock(), FakeClock()
    run(MessagesConformance(), MemoryMessages(sound), sound.advance)
    with pytest.raises(AssertionError):
        run(MessagesConformance(), broken(clock), clock.advance)


class LeavesParts(MemoryFiles):
    def download(self, bucket: str, key: str, to: Path, *, version: str | None = None) -> None:
        to.touch()
        super().download(bucket, key, to, version=version)


def test_the_files_suite_finds_a_store_that_leaves_parts_of_files(tmp_path: Path) -> None:
    run = FilesConformance().test_downloading_a_missing_file_raises_and_leaves_nothing
    run(MemoryFiles(), tmp_path)
    with pytest.raises(AssertionError):
        run(LeavesParts(), tmp_path)
