"""The conformance suites fail on backends that break a promise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from remotejob.backends.memory import MemoryFiles, MemoryMessages, MemoryStore
from remotejob.domain.changes import Change, Condition, swept
from remotejob.domain.conditions import All
from remotejob.domain.record import JobRecord
from remotejob.ports import Address, Mark, Received, Refused, Updated
from remotejob.testing import FakeClock
from remotejob.testing.conformance import FilesConformance, MessagesConformance, StoreConformance
from remotejob.testing.conformance.samples import NOW, ready, silent

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
    def put_new(self, record: JobRecord) -> JobRecord | None:
        there = self.get(record.id)
        super().put_fresh([record])
        return there


class KeepsTheFirstBatch(MemoryStore):
    def put_fresh(self, records: Sequence[JobRecord]) -> list[str]:
        return super().put_fresh(records[:25])


class MarksInNoOrder(MemoryStore):
    def attention(self, kind: str, shard: int, *, until_ms: int) -> Iterator[Mark]:
        return reversed(list(super().attention(kind, shard, until_ms=until_ms)))


class ListsOldestFirst(MemoryStore):
    def listing(self, partition: str, *, after: str | None = None) -> Iterator[JobRecord]:
        return super().listing(partition, after=after or "")


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
        (KeepsTheFirstBatch, "test_put_fresh_stores_more_records_than_fit_a_request", []),
        (MarksInNoOrder, "test_marks_come_earliest_first_up_to_the_time_asked_for", []),
        (ListsOldestFirst, "test_a_partition_lists_newest_first", []),
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
    run = StoreConformance().test_a_change_of_a_job_that_is_gone_makes_no_ghost
    with pytest.raises(AssertionError):
        run(MakesGhosts(), swept(silent(), now_ms=NOW))


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


@pytest.mark.parametrize(
    ("broken", "run"),
    [
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
