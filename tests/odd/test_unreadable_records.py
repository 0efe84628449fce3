"""A record that cannot be read: who asks for it is told why, and everybody else goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from remotejob import Queue, RemoteJob, State, UnreadableItem
from remotejob.domain.ids import partition_of
from remotejob.domain.record import output_prefix
from remotejob.domain.times import from_ms
from remotejob.domain.transactions import put_record, record_key
from remotejob.jobs.coordination.sweep_progress import load_walk
from remotejob.jobs.messaging.messages import Pending
from remotejob.jobs.scheduler.dead_letters import read_dead_letters
from remotejob.jobs.scheduler.sweep import sweep
from remotejob.jobs.scheduler.tick import tick
from remotejob.names import Field
from remotejob.ports import Address, Area, Channel, Installation, Outgoing
from remotejob.testing import FakeClock, Simulation, memory_installation
from tests.odd.odd_items import RECORDS, odd_id, put, record

NORMAL = Address("default", Channel.NORMAL)
DEAD = Address("default", Channel.DEAD_LETTER)


def dead_letters(installation: Installation, queue: str = "default") -> list[dict[str, str]]:
    received = installation.messages.receive(
        Address(queue, Channel.DEAD_LETTER),
        limit=10,
        wait=timedelta(0),
        hidden=timedelta(seconds=1),
    )
    return [json.loads(message.body) for message in received]


@pytest.mark.parametrize("what", RECORDS)
def test_reading_one_raises_one_typed_error_with_its_key(
    what: str, installation: Installation, remote: RemoteJob
) -> None:
    job_id = odd_id(installation)
    put(installation, partition_of(job_id), job_id, record(installation, **RECORDS[what]))

    with pytest.raises(UnreadableItem) as raised:
        remote.job(job_id)

    assert job_id in str(raised.value)
    assert partition_of(job_id) in str(raised.value)
    assert "delete the item" in str(raised.value), "the remedy"
    assert remote.get_jobs([job_id]) == []


HEALED = ("a time before 1970", "a time with a fraction", "an empty value", "a run that is a path")
"""A claim puts a value of its own in their place, so the job runs."""


@pytest.mark.parametrize(
    "what", [what for what in RECORDS if "state" not in what and what not in HEALED]
)
def test_a_worker_sets_the_message_of_a_damaged_record_aside_and_goes_on(
    what: str, installation: Installation, queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    job_id = odd_id(installation)
    put(installation, partition_of(job_id), job_id, record(installation, **RECORDS[what]))
    body = Pending(job_id=job_id, task="work").body()
    installation.messages.send(NORMAL, [Outgoing(body=body)])
    honest = queue.submit("work")

    worker.step()

    assert honest.refresh().state is State.COMPLETED
    (dead,) = dead_letters(installation)
    assert job_id in dead["body"]
    assert dead["reason"]
    clock.advance(timedelta(days=2))
    assert worker.receive() == [], "it does not come back"


@pytest.mark.parametrize(
    "what", [what for what in RECORDS if "state" not in what and what not in HEALED]
)
def test_a_damaged_record_is_given_back_and_runs_once_it_is_mended(
    what: str,
    installation: Installation,
    worker: Simulation,
    remote: RemoteJob,
    clock: FakeClock,
) -> None:
    job_id = odd_id(installation)
    place = (partition_of(job_id), job_id)
    put(installation, *place, record(installation, **RECORDS[what]))
    installation.messages.send(NORMAL, [Outgoing(body=Pending(job_id=job_id, task="work").body())])
    worker.step()
    item = installation.store.item(record_key(job_id))
    assert item is not None
    assert item[Field.STATE] != State.RUNNING
    clock.advance(timedelta(hours=1))
    assert read_dead_letters(installation) == {"letters kept": 1}

    put(installation, *place, record(installation))
    assert read_dead_letters(installation) == {"letters sent again": 1}
    worker.step()

    job = remote.job(job_id)
    assert (job.state, job.crashes, job.errors) == (State.COMPLETED, 0, ())


def test_the_message_of_a_newer_versions_record_waits_for_a_newer_worker_but_not_for_ever(
    installation: Installation, worker: Simulation, clock: FakeClock
) -> None:
    job_id = odd_id(installation)
    odd = record(installation, STATE={"S": "levitating"})
    put(installation, partition_of(job_id), job_id, odd)
    body = Pending(job_id=job_id, task="work").body()
    installation.messages.send(NORMAL, [Outgoing(body=body)])

    worker.step()
    assert dead_letters(installation) == []
    # the newer version is back
    put(installation, partition_of(job_id), job_id, record(installation))
    clock.advance(timedelta(minutes=1))
    worker.step()
    assert RemoteJob(installation).job(job_id).state is State.COMPLETED

    put(installation, partition_of(job_id), job_id, odd)
    installation.messages.send(NORMAL, [Outgoing(body=body)])
    turns = 0
    while not dead_letters(installation):
        worker.step()
        clock.advance(timedelta(minutes=15))
        turns += 1
        assert turns < 100


def test_data_that_is_no_json_fails_its_job_at_once_with_the_reason(
    installation: Installation, worker: Simulation, remote: RemoteJob
) -> None:
    job_id = odd_id(installation)
    item = record(installation, DATA={"S": "{"}, RETRY={"S": '{"n":5}'})
    put(installation, partition_of(job_id), job_id, item)
    body = Pending(job_id=job_id, task="work").body()
    installation.messages.send(NORMAL, [Outgoing(body=body)])

    worker.step()

    job = remote.job(job_id)
    assert (job.state, job.errors[-1].kind) == (State.FAILED, "UnreadableItem")
    with pytest.raises(UnreadableItem, match="its data is not JSON"):
        _ = job.data


def test_a_record_whose_id_is_a_path_deletes_no_other_jobs_outputs(
    installation: Installation, worker: Simulation, clock: FakeClock, queue: Queue
) -> None:
    honest = queue.submit("work")
    worker.tasks.task("work")
    key = f"{output_prefix(queue='default', job_id=honest.id, run_id='a' * 16)}out.txt"
    installation.files.put(Area.OUTPUT, key, b"precious")
    day = partition_of(odd_id(installation))
    for name in (f"../default/{honest.id}", f"{honest.id}/", honest.id[:-1], "default"):
        for state in ("failed", "cancelled", "completed"):
            odd = record(installation, STATE={"S": state}, ATTEMPT={"N": "2"})
            odd[Field.FINISHED] = {"N": "1"}
            odd[Field.UPDATED] = {"N": "1"}
            put(installation, day, f"{name}{state[:0]}", odd)
    # a tombstone, and a record under another day's partition
    tombstone = {Field.REMOVED: {"N": "1"}, Field.TOKEN: {"S": "t"}, Field.EXPIRES: {"N": "9"}}
    tombstone |= {Field.ATTENTION: {"S": "removed#0"}, Field.ATTENTION_AT: {"N": "1"}}
    for number, name in enumerate((f"../{honest.id}", "default", honest.id)):
        queued = {**tombstone, Field.QUEUE: {"S": f"default/{honest.id}" if number else "default"}}
        put(installation, f"odd{number}", name, queued)
    odd = record(installation, STATE={"S": "failed"}, ATTEMPT={"N": "2"})
    put(installation, "20200101#0", honest.id, {**odd, Field.UPDATED: {"N": "1"}})
    clock.advance(timedelta(hours=3))

    sweep(installation)

    assert list(installation.files.keys(Area.OUTPUT, "")) == [key]


@pytest.mark.parametrize(
    "noted",
    [
        {"watermark": "9999-12-30", "day": "9999-12-30"},
        {"watermark": "2026-01-14", "day": "9999-12-30"},
        {"watermark": "2026-01-15", "day": "2026-01-15"},
        {"watermark": "0001-01-01", "day": "0001-01-01"},
        {"watermark": "x", "day": "x"},
        {"watermark": 5, "day": []},
        {"watermark": "2026-01-13", "day": "2026-01-15", "shard": 10**9},
        {"watermark": "2026-01-13", "day": "2026-01-15", "shard": -1},
        {"watermark": "2026-01-13", "day": "2026-01-15", "after": "zzz"},
        {"watermark": "2026-01-13", "day": "2026-01-15", "closed": "yes"},
        {},
        [],
        None,
        7,
        "not json",
    ],
    ids=str,
)
def test_progress_that_the_sweep_cannot_have_noted_silences_nothing(
    noted: object, installation: Installation, queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    lost = queue.submit("work")
    for message in worker.receive():
        installation.messages.delete(message.address, [message.receipt])
    clock.advance(timedelta(hours=2))
    text = noted if isinstance(noted, str) else json.dumps(noted)
    put(installation, "#sweep", "progress", {Field.CONTENT: {"S": text}})

    assert sweep(installation)["sent"] == 1
    worker.step()

    assert lost.refresh().state is State.COMPLETED
    assert sweep(installation) == {}, "its own note is good"


def test_a_day_with_an_unreadable_record_is_walked_again(
    installation: Installation, clock: FakeClock, worker: Simulation
) -> None:
    installation = replace(installation, retention=timedelta(days=9))
    job_id = odd_id(installation)
    place = (partition_of(job_id), job_id)
    put(installation, *place, record(installation, STATE={"S": "levitating"}))
    clock.advance(timedelta(days=5))
    sweep(installation)
    # after an update, this version knows the state: the message was lost meanwhile
    put(installation, *place, {**record(installation), Field.UPDATED: {"N": "1000"}})

    assert sweep(installation)["sent"] == 1


@pytest.mark.parametrize("lease_ms", [2**50, 10**30])
def test_a_lease_beyond_sense_is_taken_over(
    lease_ms: int, installation: Installation, queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    job = queue.submit("work", resource="scanner")
    waiting = queue.submit("work", resource="scanner")
    held = replace(job.record, state=State.RUNNING, run_id="a" * 16, lease_ms=lease_ms, attempt=1)
    held = replace(held, updated_ms=clock.now_ms(), attention=None, attention_ms=None)
    installation.store.transact([replace(put_record(held), condition=None)])
    lock = {Field.JOB: {"S": job.id}, Field.RUN: {"S": "a" * 16}}
    put(installation, "resource#scanner", "lock#000", lock)
    assert job.refresh().why().code == "worker_silent"
    waiting.why()

    for _ in range(6):
        worker.step()
        clock.advance(timedelta(minutes=20))
        tick(installation)

    assert waiting.refresh().state is State.COMPLETED
    assert job.refresh().state is State.COMPLETED


def test_a_time_in_the_future_keeps_no_record_from_the_sweep(
    installation: Installation, queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    job = queue.submit("work")
    for message in worker.receive():
        installation.messages.delete(message.address, [message.receipt])
    future = clock.now_ms() + 10**12
    odd = replace(job.record, updated_ms=future, swept_ms=future)
    installation.store.transact([replace(put_record(odd), condition=None)])
    found = RemoteJob(installation).doctor().findings

    assert [one.name for one in found] == [job.id, job.id]
    assert sweep(installation)["sent"] == 1
    worker.step()
    assert job.refresh().state is State.COMPLETED


def test_dependents_of_a_record_that_cannot_be_read_wait_for_it(
    installation: Installation, queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    first = queue.submit("work", delay=timedelta(hours=30))
    second = queue.submit("work", depends=[first])
    place = (partition_of(first.id), first.id)
    stored = first.refresh().record
    put(installation, *place, record(installation, STATE={"S": "levitating"}))
    for _ in range(3):
        clock.advance(timedelta(hours=2))
        tick(installation)
    assert second.refresh().state is State.WAITING, "a newer version may know how it goes on"

    done = replace(stored, state=State.COMPLETED, finished_ms=clock.now_ms(), due_ms=None)
    done = replace(done, attention=None, attention_ms=None)
    installation.store.transact([replace(put_record(done), condition=None)])
    clock.advance(timedelta(hours=2))
    tick(installation)
    worker.step()
    assert second.refresh().state is State.COMPLETED


@pytest.mark.parametrize("calls", [1, 2, 3, 5, 8, 13, 21, 34, 55])
def test_a_sweep_that_runs_out_of_time_keeps_such_a_day_open(calls: int, clock: FakeClock) -> None:
    installation = memory_installation(clock)
    queue = RemoteJob(installation).queue()
    first, *others = sorted((queue.submit("work") for _ in range(60)), key=lambda job: job.id)
    for job in others:
        job.cancel()
    odd = record(installation, STATE={"S": "levitating"})
    put(installation, partition_of(first.id), first.id, odd)
    day = from_ms(clock.now_ms()).date().isoformat()
    clock.advance(timedelta(days=4))
    asked = iter(range(1, 10_000))

    sweep(installation, time_is_up=lambda: next(asked) == calls)
    sweep(installation)

    assert load_walk(installation, from_ms(clock.now_ms()).date()).watermark <= day
