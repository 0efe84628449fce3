"""Threads that race for one record."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from remotejob.domain import changes
from remotejob.ports import JobStore, Refused, Updated
from remotejob.testing.conformance import samples

_RACERS = 16


class RacesConformance:
    """Each change is made whole, or refused, whoever else is at it."""

    def test_of_threads_that_claim_one_job_exactly_one_wins(self, store: JobStore) -> None:
        record = samples.ready()
        store.put_new(record)
        start = Barrier(_RACERS)

        def claim(racer: int) -> Updated | Refused:
            change = changes.claim(
                record.id,
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
            there = store.put_new(samples.ready(worker=f"w{racer}"))
            return None if there is None else there.worker

        with ThreadPoolExecutor(_RACERS) as pool:
            met = list(pool.map(put, range(_RACERS)))

        (winner,) = [racer for racer, worker in enumerate(met) if worker is None]
        stored = store.get(samples.job_id())
        assert stored is not None
        assert stored.worker == f"w{winner}"
        assert {worker for worker in met if worker is not None} == {f"w{winner}"}
