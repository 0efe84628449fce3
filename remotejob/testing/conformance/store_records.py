"""The suite for storing and reading records and notes."""

from __future__ import annotations

from dataclasses import replace

from remotejob.domain import command_changes
from remotejob.domain.ids import partition_of
from remotejob.domain.marks import Attention, attention_key
from remotejob.domain.record import errors_to_json
from remotejob.domain.states import State
from remotejob.domain.text import dumps
from remotejob.names import SHARDS
from remotejob.ports import JobStore, Refused, Updated
from remotejob.testing.conformance import samples

FULL = replace(
    samples.failed(7),
    priority=-10,
    due_ms=samples.NOW,
    blocked=frozenset({"one", "two"}),
    parked="resource#scanner",
    resource="scanner",
    token=samples.TOKEN,
    tenant="mueller&soehne",
    tenant_limit=3,
    depends_json=dumps([samples.job_id(8), samples.job_id(9)]),
    dependents=1,
    linking=samples.TOKEN,
    delay_dependents_ms=samples.SECOND,
    repeat_json='{"w":60000}',
    next_id=samples.job_id(10),
    origin_id=samples.job_id(11),
    generation=4,
    depth=5,
    previous_json='["failed",1768478400000,"ValueError: no"]',
    batch=f"b-{samples.job_id(12)}",
    calls_json='{"n":1}',
    lease_ms=samples.NOW,
    crashes=2,
    crashed_runs=frozenset({samples.OTHER_RUN}),
    lost_leases=1,
    lost_run=samples.RUN,
    releases=1,
    given_up=1,
    start_by_ms=samples.NOW,
    start_in_ms=samples.SECOND,
    crash_limit=4,
    no_space=1,
    retry_json='{"n":3}',
    data_json='{"größe":400,"空":""}',
    data_ref="jobs/x/-/data.json",
    input_json='{"b":"bucket","k":"a b/ü.jpg","s":3,"n":"ü.jpg"}',
    progress_json="[1,3]",
    log_json='[[0,1,"info","hello"]]',
    history=frozenset({'[1,"paused","ana@laptop"]'}),
    log_count=1,
    errors_json=errors_to_json((samples.failure(),)),
    result_json="[]",
    result_ref="r",
    outputs_json="[]",
    outputs_ref="o",
    checkpoint_json="7",
    checkpoint_ref="aaaaaaaaaaaaaaaa/1",
    swept_ms=samples.NOW,
    expires_s=samples.NOW // 1000,
)
"""A record with every attribute set."""

_EXPIRES_S = samples.NOW // 1000 + 3600


class RecordsConformance:
    """Storing and reading without changes."""

    def test_put_new_stores_the_record_as_it_is(self, store: JobStore) -> None:
        assert store.put_new(FULL) == Updated(FULL)
        assert store.get(FULL.id) == FULL

    def test_attributes_that_are_none_come_back_none(self, store: JobStore) -> None:
        record = samples.ready()
        store.put_new(record)
        assert store.get(record.id) == record

    def test_put_new_returns_the_record_that_was_there_and_leaves_it(self, store: JobStore) -> None:
        first = samples.ready(data_json='"first"')
        store.put_new(first)

        there = store.put_new(replace(first, state=State.WAITING, data_json='"second"', attempt=9))

        assert there == Refused(first)
        assert store.get(first.id) == first

    def test_put_new_that_is_refused_leaves_no_mark(self, store: JobStore) -> None:
        first = samples.ready()
        store.put_new(first)
        key = attention_key(Attention.WAITING, first.id)

        store.put_new(replace(first, attention=key, attention_ms=samples.NOW))

        self.index_settled()
        marks = store.attention(Attention.WAITING, 0, until_ms=samples.NOW + samples.SECOND)
        assert list(marks) == []

    def test_get_of_an_unknown_id_is_none(self, store: JobStore) -> None:
        store.put_new(samples.ready(1))
        assert store.get(samples.job_id(2)) is None

    def test_put_fresh_stores_many_records(self, store: JobStore) -> None:
        records = [samples.ready(n, id=samples.job_id(n, shard=n % SHARDS)) for n in range(60)]

        store.put_fresh(records)

        assert [store.get(record.id) for record in records] == records

    def test_put_fresh_marks_what_is_marked(self, store: JobStore) -> None:
        record = samples.waiting()
        store.put_fresh([record, samples.ready(1)])

        self.index_settled()
        marks = store.attention(Attention.WAITING, 0, until_ms=samples.NOW + samples.SECOND)
        assert [mark.job_id for mark in marks] == [record.id]

    def test_put_fresh_of_nothing_does_nothing(self, store: JobStore) -> None:
        before = list(store.listing(partition_of(samples.job_id())))

        store.put_fresh([])

        assert list(store.listing(partition_of(samples.job_id()))) == before == []

    def test_put_fresh_leaves_a_record_as_it_is(self, store: JobStore) -> None:
        # a request can take effect after the job has ended
        fresh = [samples.ready(number) for number in range(3)]
        ended = samples.in_state(State.COMPLETED, id=fresh[1].id)
        store.put_new(ended)

        store.put_fresh(fresh)

        assert [store.get(record.id) for record in fresh] == [fresh[0], ended, fresh[2]]

    def test_put_fresh_brings_no_removed_job_back(self, store: JobStore) -> None:
        record = samples.in_state(State.FAILED, owed=None)
        store.put_new(record)
        removal = command_changes.remove(
            record, now_ms=samples.NOW, kept_ms=samples.RETENTION, token=samples.TOKEN
        )
        assert store.transact([removal]) is None

        store.put_fresh([samples.ready(id=record.id)])

        assert store.get(record.id) is None

    def test_get_many_reads_more_records_than_fit_a_request(self, store: JobStore) -> None:
        records = [samples.ready(n, id=samples.job_id(n, shard=n % SHARDS)) for n in range(130)]
        store.put_fresh(records)

        found = store.get_many([record.id for record in records])

        assert sorted(found, key=lambda record: record.id) == records

    def test_get_many_leaves_out_those_that_do_not_exist(self, store: JobStore) -> None:
        there = [samples.ready(1), samples.ready(3)]
        store.put_fresh(there)

        found = store.get_many([samples.job_id(number) for number in range(5)])

        assert sorted(found, key=lambda record: record.id) == there

    def test_get_many_gives_a_record_once_however_often_it_is_named(self, store: JobStore) -> None:
        record = samples.ready()
        store.put_new(record)

        assert store.get_many([record.id, record.id]) == [record]

    def test_get_many_of_nothing_is_nothing(self, store: JobStore) -> None:
        assert store.get_many([]) == []

    def test_notes_come_in_order_of_name(self, store: JobStore) -> None:
        job_id = samples.job_id()
        for name in ("log#000000200", "log#000000000", "log#000000100"):
            store.put_note(job_id, name, f"text of {name}", expires_s=_EXPIRES_S)

        assert list(store.notes(job_id, "log#")) == [
            (name, f"text of {name}")
            for name in ("log#000000000", "log#000000100", "log#000000200")
        ]

    def test_notes_are_listed_by_job_and_prefix(self, store: JobStore) -> None:
        mine, other = samples.job_id(1), samples.job_id(2)
        store.put_note(mine, "log#1", "mine", expires_s=_EXPIRES_S)
        store.put_note(mine, "failure#1", "trace", expires_s=_EXPIRES_S)
        store.put_note(other, "log#1", "theirs", expires_s=_EXPIRES_S)

        assert list(store.notes(mine, "log#")) == [("log#1", "mine")]
        assert list(store.notes(mine, "nothing#")) == []

    def test_a_note_of_the_same_name_is_replaced(self, store: JobStore) -> None:
        store.put_note("#sweep", "progress", "old", expires_s=_EXPIRES_S)
        store.put_note("#sweep", "progress", "new", expires_s=_EXPIRES_S)

        assert list(store.notes("#sweep", "progress")) == [("progress", "new")]

    def test_a_note_makes_no_record(self, store: JobStore) -> None:
        store.put_note(samples.job_id(), "log#1", "text", expires_s=_EXPIRES_S)

        assert store.get(samples.job_id()) is None
        assert store.get_many([samples.job_id()]) == []

    def index_settled(self) -> None:
        """Override this if the attention index lags behind the records."""
