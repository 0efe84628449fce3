"""The suite for the attention index and listings."""

from __future__ import annotations

from datetime import timedelta

import pytest

from remotejob.domain import run_changes, upkeep_changes
from remotejob.domain.ids import first_id_at, partition_of
from remotejob.domain.marks import Attention, attention_key
from remotejob.domain.states import State
from remotejob.domain.times import span_ms
from remotejob.names import SHARDS
from remotejob.ports import JobStore, Mark, Updated
from remotejob.testing.conformance import samples

_NOW = samples.NOW
_DAY = span_ms(timedelta(days=1))


class IndexConformance:
    """Marks are found by kind, shard and time, and listings show the records of a partition."""

    def test_marks_come_earliest_first_up_to_the_time_asked_for(self, store: JobStore) -> None:
        for number, offset in enumerate((30, 10, 20, 40)):
            store.put_new(samples.waiting(number, attention_ms=_NOW + offset))

        self.index_settled()
        assert list(store.attention(Attention.WAITING, 0, until_ms=_NOW + 30)) == [
            Mark(samples.job_id(1), _NOW + 10),
            Mark(samples.job_id(2), _NOW + 20),
            Mark(samples.job_id(0), _NOW + 30),
        ]

    def test_marks_are_of_one_kind_and_shard(self, store: JobStore) -> None:
        ids = [samples.job_id(number, shard=number % SHARDS) for number in range(2 * SHARDS)]
        for number, job_id in enumerate(ids):
            kind = Attention.WAITING if number < SHARDS else Attention.RUNNING
            key = attention_key(kind, job_id)
            store.put_new(samples.ready(number, id=job_id, attention=key, attention_ms=_NOW))

        self.index_settled()
        for shard in range(SHARDS):
            waiting = store.attention(Attention.WAITING, shard, until_ms=_NOW)
            assert [mark.job_id for mark in waiting] == [ids[shard]]
            running = store.attention(Attention.RUNNING, shard, until_ms=_NOW)
            assert [mark.job_id for mark in running] == [ids[SHARDS + shard]]

    def test_records_without_a_mark_are_not_in_the_index(self, store: JobStore) -> None:
        store.put_new(samples.ready(1))
        store.put_new(samples.running(2))

        assert self._marked(store) == []

    def test_a_claim_takes_the_mark_away(self, store: JobStore) -> None:
        record = samples.waiting()
        store.put_new(record)
        assert self._marked(store) == [record.id]

        outcome = store.update(
            run_changes.claim(
                record.id,
                task=record.task,
                queue=record.queue,
                run_id=samples.RUN,
                worker="w1",
                now_ms=_NOW,
                stamp_ms=_NOW,
                lease_ms=samples.LEASE,
                skew_ms=samples.SKEW,
            )
        )

        assert isinstance(outcome, Updated)
        assert self._marked(store) == []

    def test_a_mark_changes_its_kind(self, store: JobStore) -> None:
        record = samples.silent()
        store.put_new(record)
        store.update(run_changes.expire(record, now_ms=_NOW, skew_ms=samples.SKEW))

        self.index_settled()
        assert list(store.attention(Attention.RUNNING, 0, until_ms=_NOW + _DAY)) == []
        owed = list(store.attention(Attention.OWED, 0, until_ms=_NOW + _DAY))
        assert owed == [Mark(record.id, _NOW)]

    def test_a_mark_that_moves_is_found_at_its_new_time_alone(self, store: JobStore) -> None:
        record = samples.waiting()
        store.put_new(record)
        store.update(upkeep_changes.move_mark(record, to_ms=_NOW + _DAY))

        self.index_settled()
        assert list(store.attention(Attention.WAITING, 0, until_ms=_NOW + _DAY - 1)) == []
        assert list(store.attention(Attention.WAITING, 0, until_ms=_NOW + _DAY)) == [
            Mark(record.id, _NOW + _DAY)
        ]

    def test_a_change_that_is_refused_moves_no_mark(self, store: JobStore) -> None:
        record = samples.waiting()
        store.put_new(record)
        store.update(
            run_changes.complete(samples.running(), now_ms=_NOW, retention_ms=0, report={})
        )

        assert self._marked(store) == [record.id]

    def test_an_index_of_many_marks_is_read_whole(self, store: JobStore) -> None:
        store.put_fresh([samples.waiting(number) for number in range(250)])

        assert sorted(self._marked(store)) == [samples.job_id(number) for number in range(250)]

    def test_a_partition_lists_newest_first(self, store: JobStore) -> None:
        ids = [samples.job_id(number, at_ms=_NOW + number) for number in (2, 0, 1)]
        store.put_fresh([samples.ready(id=job_id) for job_id in ids])

        listed = [record.id for record in store.listing(partition_of(ids[0]))]
        assert listed == sorted(ids, reverse=True)

    def test_after_an_id_a_partition_lists_oldest_first_from_the_next(
        self, store: JobStore
    ) -> None:
        ids = [samples.job_id(number) for number in range(5)]
        store.put_fresh([samples.ready(id=job_id) for job_id in ids])
        day = partition_of(ids[0])

        assert [record.id for record in store.listing(day, after=ids[1])] == ids[2:]
        assert [record.id for record in store.listing(day, after=ids[4])] == []
        assert [record.id for record in store.listing(day, after=first_id_at(0))] == ids

    def test_a_listing_holds_the_records_as_they_stand(self, store: JobStore) -> None:
        record = samples.running(data_json="[1]")
        store.put_new(record)
        outcome = store.update(run_changes.complete(record, now_ms=_NOW, retention_ms=0, report={}))

        (listed,) = store.listing(partition_of(record.id))
        assert listed == outcome.record
        assert listed.state is State.COMPLETED

    @pytest.mark.parametrize("after", [None, first_id_at(0)], ids=["newest first", "oldest first"])
    def test_a_listing_is_of_its_own_day_and_shard(
        self, store: JobStore, after: str | None
    ) -> None:
        mine = samples.job_id(1)
        others = [samples.job_id(2, shard=1), samples.job_id(3, at_ms=_NOW + _DAY)]
        store.put_fresh([samples.ready(id=job_id) for job_id in (mine, *others)])

        listed = [record.id for record in store.listing(partition_of(mine), after=after)]
        assert listed == [mine]

    @pytest.mark.parametrize("after", [None, first_id_at(0)], ids=["newest first", "oldest first"])
    def test_notes_are_in_no_listing(self, store: JobStore, after: str | None) -> None:
        record = samples.ready()
        store.put_new(record)
        store.put_note(record.id, "log#1", "text", expires_s=_NOW // 1000 + 60)

        assert list(store.listing(partition_of(record.id), after=after)) == [record]

    def test_an_empty_partition_lists_nothing(self, store: JobStore) -> None:
        assert list(store.listing(partition_of(samples.job_id()))) == []

    def index_settled(self) -> None:
        """Override this if the attention index lags behind the records."""

    def _marked(self, store: JobStore) -> list[str]:
        self.index_settled()
        kinds = (*Attention.ACTED_ON, Attention.FAILED)
        return [
            mark.job_id
            for kind in kinds
            for mark in store.attention(kind, 0, until_ms=_NOW + 2 * _DAY)
        ]
