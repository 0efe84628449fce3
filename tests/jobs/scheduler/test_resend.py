"""A system that goes on from a copy of its data loses no job of the last second."""

from __future__ import annotations

from datetime import timedelta

from remotejob import Queue
from remotejob.domain.priority import Lane
from remotejob.jobs.scheduler.resend import resend_latest
from remotejob.ports import Address, Channel, Installation
from remotejob.testing import FakeClock, Simulation

LANES = [Address("default", Channel(lane.value)) for lane in Lane]


def test_latest_jobs_whose_messages_are_lost_run_and_older_ones_are_left_to_the_sweep(
    queue: Queue, installation: Installation, clock: FakeClock, worker: Simulation
) -> None:
    old = queue.submit("work")
    lose_messages(installation)
    clock.advance(timedelta(minutes=2))
    done = queue.submit("work")
    worker.step()
    lost = queue.submit("work")
    copied_ms = clock.now_ms()
    lose_messages(installation)
    # the system may be off for long
    clock.advance(timedelta(days=3))

    sent = resend_latest(installation, copied_ms=copied_ms)
    while worker.step():
        pass

    assert sent == 1
    assert lost.refresh().result == "done"
    assert done.refresh().attempt == 1
    assert old.refresh().attempt == 0


def lose_messages(installation: Installation) -> None:
    for lane in LANES:
        while found := installation.messages.receive(
            lane, limit=10, wait=timedelta(0), hidden=timedelta(hours=1)
        ):
            installation.messages.delete(lane, [message.receipt for message in found])
