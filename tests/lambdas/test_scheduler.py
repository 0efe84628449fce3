"""The scheduler's function: it does what the rule's input asks for, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from lambdas import scheduler
from remotejob import RemoteJob
from remotejob.domain.transactions import put_record
from remotejob.names import Field
from remotejob.ports import Channel, Installation
from remotejob.testing import FakeClock
from tests.lambdas.conftest import Context

Pending = Callable[[Channel], list[str]]


def _call(event: dict[str, Any], context: Context) -> dict[str, int]:
    handler: Any = scheduler.handler
    answer: dict[str, int] = handler(event, context)
    return answer


@pytest.mark.parametrize("event", [{}, {"do": "tock"}, {"do": ""}, {"source": "aws.events"}])
def test_anything_else_is_refused_and_says_what_there_is(
    event: dict[str, Any], context: Context
) -> None:
    with pytest.raises(ValueError, match=r"do=.*: use one of tick, sweep") as refusal:
        _call(event, context)
    assert repr(event.get("do")) in str(refusal.value)


def test_a_tick_sends_what_becomes_due(
    context: Context, installation: Installation, clock: FakeClock, pending: Pending
) -> None:
    job = RemoteJob(installation).queue().submit("keep", delay=timedelta(hours=1))
    assert _call({"do": "tick"}, context) == {}
    assert pending(Channel.NORMAL) == []

    clock.advance(timedelta(minutes=59))

    assert _call({"do": "tick"}, context)["sent"] == 1
    assert pending(Channel.NORMAL) == [job.id]


def test_a_sweep_sends_for_a_job_whose_message_was_lost(
    context: Context, installation: Installation, clock: FakeClock, pending: Pending
) -> None:
    job = RemoteJob(installation).queue().submit("keep")
    clock.advance(timedelta(hours=2))

    assert _call({"do": "sweep"}, context) == {"sent": 1}
    assert pending(Channel.NORMAL) == [job.id] * 2


@pytest.mark.parametrize("work", ["tick", "sweep"])
def test_it_stops_before_its_time_is_up(
    context: Context,
    installation: Installation,
    clock: FakeClock,
    pending: Pending,
    work: str,
) -> None:
    RemoteJob(installation).queue().submit("keep", delay=timedelta(hours=1))
    RemoteJob(installation).queue().submit("keep")
    clock.advance(timedelta(hours=2))
    sent_before = pending(Channel.NORMAL)
    context.remaining_ms = 10_000

    _call({"do": work}, context)
    assert pending(Channel.NORMAL) == sent_before

    context.remaining_ms = 300_000
    _call({"do": work}, context)
    assert len(pending(Channel.NORMAL)) == len(sent_before) + 1


@pytest.mark.parametrize("work", ["tick", "sweep"])
def test_what_cannot_be_read_is_a_metric(
    work: str,
    context: Context,
    installation: Installation,
    clock: FakeClock,
    capsys: pytest.CaptureFixture[str],
) -> None:
    job = RemoteJob(installation).queue().submit("keep", delay=timedelta(hours=1))
    clock.advance(timedelta(hours=2))
    assert "unreadable" not in _call({"do": "tick"}, context)
    item = {**job.record.to_item(), Field.STATE: "levitating"}
    step = replace(put_record(job.record), content=item, condition=None)
    installation.store.transact([step])
    capsys.readouterr()

    assert _call({"do": work}, context)["unreadable"] == 1

    (line,) = [one for one in capsys.readouterr().out.splitlines() if "_aws" in one]
    document = json.loads(line)
    assert document["UnreadableItems"] == [1]
    assert document["System"] == installation.name
    assert document["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "remotejob"
