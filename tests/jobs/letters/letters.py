"""Letters, as workers and SQS leave them in the dead-letter queues."""

from __future__ import annotations

from datetime import timedelta

from remotejob import Job
from remotejob.domain.priority import Lane
from remotejob.domain.times import span_ms
from remotejob.jobs.messaging.messages import Pending, dead_letter_body
from remotejob.jobs.scheduler.dead_letters import EVERY, queues_in_turn, read_dead_letters
from remotejob.ports import Address, Channel, Installation, Outgoing, Received
from remotejob.testing import FakeClock

DEAD = Address("default", Channel.DEAD_LETTER)
NORMAL = Address("default", Channel.NORMAL)
LANES = [Address("default", Channel(lane.value)) for lane in Lane]
NOTHING = timedelta(0)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def take_messages(installation: Installation) -> list[str]:
    """Take all messages off the lanes; return their bodies."""
    bodies: list[str] = []
    for lane in LANES:
        while found := installation.messages.receive(lane, limit=10, wait=NOTHING, hidden=HOUR):
            installation.messages.delete(lane, [message.receipt for message in found])
            bodies += [message.body for message in found]
    return bodies


def give_up(job: Job, installation: Installation) -> None:
    """Move the job's message to the dead-letter queue, as SQS does after too many receives."""
    take_messages(installation)
    installation.messages.send(DEAD, [Outgoing(body=Pending.of(job.record).body())])


def set_aside(installation: Installation, body: str, *, reason: str = "it is odd") -> None:
    """A letter as a worker writes it."""
    letter = dead_letter_body(reason=reason, lane=Channel.NORMAL, body=body)
    installation.messages.send(DEAD, [Outgoing(body=letter)])


def letters(installation: Installation, address: Address = DEAD) -> list[Received]:
    """The letters that anybody could see now, without hiding them."""
    found = installation.messages.receive(address, limit=10, wait=NOTHING, hidden=HOUR)
    installation.messages.hide(address, [letter.receipt for letter in found], NOTHING)
    return found


def ticks(installation: Installation, clock: FakeClock) -> dict[str, int]:
    """What the scheduler does with letters once it is the queue's turn, within ten minutes."""
    past = clock.now_ms() % span_ms(EVERY)
    clock.advance(EVERY - timedelta(milliseconds=past))
    return dict(read_dead_letters(installation, queues=queues_in_turn(installation)))
