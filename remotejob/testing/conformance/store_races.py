"""The suite for threads that race for one record."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from remotejob.domain import locks, run_changes
from remotejob.domain.changes import EXISTS, Change, Condition
from remotejob.domain.conditions import Item
from remotejob.domain.locks import Held
from remotejob.domain.record import JobRecord
from remotejob.domain.transactions import ABSENT, Conflict, Count, Key, Put, Step
from remotejob.names import Field
from remotejob.ports import JobStore, Refused, Updated
from remotejob.testing.conformance import samples
from remotejob.testing.conformance.catalogue import HELD, LIMIT, SLOT, claim_locked

_RACERS = 16
_ROUNDS = 5


class RacesConformance:
    """Each change applies as a whole or is refused, also when others compete."""

    @pytest.fixture(autouse=True)
    def _threads_take_short_turns(self) -> Iterator[None]:
        # short turns make rare races likely, also within one process
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        yield
        sys.setswitchinterval(interval)

    def test_of_threads_that_claim_one_job_exactly_one_wins(self, store: JobStore) -> None:
        record = samples.ready()
        store.put_new(record)
        start = Barrier(_RACERS)

        def claim(racer: int) -> Updated | Refused:
            change = run_changes.claim(
                record.id,
                task=record.task,
                queue=record.queue,
                run_id=f"{racer:016x}",
                worker=f"w{racer}",
                now_ms=samples.NOW,
                stamp_ms=samples.NOW,
                lease_ms=samples.LEASE,
                skew_ms=samples.SKEW,
            )
            start.wait()
            return store.update(change)

        with ThreadPoolExecutor(_RACERS) as pool:
            outcomes = list(pool.map(claim, range(_RACERS)))

        won = [outcome for outcome in outcomes if isinstance(outcome, Updated)]
        assert len(won) == 1
        assert won[0].record.attempt == 1
        # the losers learn who won, without a second read
        assert {outcome.record for outcome in outcomes} == {won[0].record}
        assert store.get(record.id) == won[0].record

    def test_of_threads_that_put_one_job_exactly_one_stores_it(self, store: JobStore) -> None:
        start = Barrier(_RACERS)

        def put(racer: int) -> str | None:
            start.wait()
            outcome = store.put_new(samples.ready(worker=f"w{racer}"))
            assert outcome.record is not None
            return None if isinstance(outcome, Updated) else outcome.record.worker

        with ThreadPoolExecutor(_RACERS) as pool:
            met = list(pool.map(put, range(_RACERS)))

        winner = _one(racer for racer, worker in enumerate(met) if worker is None)
        stored = store.get(samples.job_id())
        assert stored is not None
        assert stored.worker == f"w{winner}"
        assert {worker for worker in met if worker is not None} == {f"w{winner}"}

    @pytest.mark.parametrize("seen", [None, HELD], ids=["free", "of a silent holder"])
    def test_of_threads_that_take_one_lock_exactly_one_wins(
        self, store: JobStore, seen: Held | None
    ) -> None:
        records = [samples.ready(number, resource="scanner") for number in range(_RACERS)]
        store.put_fresh(records)
        if seen is not None:
            content: Item = {Field.JOB: seen.job_id, Field.RUN: seen.run_id}
            store.transact([Put(key=SLOT, content=content)])
            store.put_new(samples.silent(id=seen.job_id))
        start = Barrier(_RACERS)

        def take(record: JobRecord) -> Conflict | None:
            steps: list[Step] = [
                claim_locked(record),
                locks.take(SLOT, record, samples.OTHER_RUN, seen=seen),
            ]
            if seen is not None:
                steps.append(locks.check_over(seen, now_ms=samples.NOW, skew_ms=samples.SKEW))
            start.wait()
            return store.transact(steps)

        with ThreadPoolExecutor(_RACERS) as pool:
            outcomes = list(pool.map(take, records))

        won = _one(number for number, outcome in enumerate(outcomes) if outcome is None)
        lock = store.item(SLOT)
        assert lock is not None
        assert Held.of(LIMIT, SLOT.name, lock) == Held(SLOT, records[won].id, samples.OTHER_RUN)
        # the losers learn who won, and their records are unchanged
        assert [outcome for outcome in outcomes if outcome] == [Conflict(1, lock)] * (_RACERS - 1)
        lost = [record.id for record in records if record.id != records[won].id]
        assert sorted(store.get_many(lost), key=lambda record: record.id) == [
            record for record in records if record.id in lost
        ]

    def test_of_threads_that_put_one_item_with_others_exactly_one_puts_all(
        self, store: JobStore
    ) -> None:
        start = Barrier(_RACERS)

        def put(racer: int) -> Conflict | None:
            own = Put(key=Key("race", f"own#{racer:02d}"), content={Field.JOB: f"{racer}"})
            contended = Put(
                key=Key("race", "one"), content={Field.JOB: f"{racer}"}, condition=ABSENT
            )
            start.wait()
            return store.transact([own, contended])

        with ThreadPoolExecutor(_RACERS) as pool:
            outcomes = list(pool.map(put, range(_RACERS)))

        won = _one(racer for racer, outcome in enumerate(outcomes) if outcome is None)
        one = store.item(Key("race", "one"))
        assert one is not None
        assert one[Field.JOB] == f"{won}"
        assert [name for name, _ in store.items("race", "own#")] == [f"own#{won:02d}"]

    def test_threads_that_update_and_threads_that_transact_lose_nothing(
        self, store: JobStore
    ) -> None:
        record = samples.ready()
        store.put_new(record)
        total, each = Key("race", "total"), _RACERS // 2 * _ROUNDS
        start = Barrier(_RACERS)

        def change(field: Field) -> Change:
            anything = Condition(name="anything", expression=EXISTS)
            return Change(job_id=record.id, condition=anything, values={}, add={field: 1})

        def work(racer: int) -> None:
            start.wait()
            for _ in range(_ROUNDS):
                if racer % 2:
                    assert isinstance(store.update(change(Field.CRASHES)), Updated)
                else:
                    steps: list[Step] = [
                        change(Field.RELEASES),
                        Count(key=total, add={Field.ATTEMPT: 1}),
                    ]
                    assert store.transact(steps) is None

        with ThreadPoolExecutor(_RACERS) as pool:
            list(pool.map(work, range(_RACERS)))

        assert store.get(record.id) == samples.ready(crashes=each, releases=each)
        counted = store.item(total)
        assert counted is not None
        assert counted[Field.ATTEMPT] == each


def _one(racers: Iterable[int]) -> int:
    won = list(racers)
    assert len(won) == 1, f"of {_RACERS} racers {len(won)} won"
    return won[0]
