"""The scheduler's function: it does what the rule's input asks for, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from remotejob import RemoteJob
from remotejob.backends.memory import MemoryFleet
from remotejob.domain.budgets import DailyBudget, Spent, day_of
from remotejob.domain.fleet import FleetStatus, StoppedTask, WorkersDescription
from remotejob.domain.transactions import put_record
from remotejob.functions import scheduler
from remotejob.jobs.messaging.messages import Pending as Message
from remotejob.jobs.queries.budgets import add_spent
from remotejob.names import Field
from remotejob.ports import Address, Channel, Installation, Outgoing
from remotejob.testing import FakeClock
from tests.functions.conftest import Context

Pending = Callable[[Channel], list[str]]


def _call(event: dict[str, Any], context: Context) -> dict[str, int]:
    handler: Any = scheduler.handler
    answer: dict[str, int] = handler(event, context)
    return answer


@pytest.mark.parametrize("event", [{}, {"do": "tock"}, {"do": ""}, {"source": "aws.events"}])
def test_anything_else_is_refused_and_says_what_there_is(
    event: dict[str, Any], context: Context
) -> None:
    with pytest.raises(ValueError, match=r"do=.*: use one of tick, sweep, letters") as refusal:
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


def test_dead_letters_are_read_when_somebody_asks(
    context: Context, installation: Installation, pending: Pending
) -> None:
    job = RemoteJob(installation).queue().submit("keep")
    dead = Address("default", Channel.DEAD_LETTER)
    body = Message.of(job.record).body()
    installation.messages.send(dead, [Outgoing(body="{"), Outgoing(body=body)])

    counts = _call({"do": "letters"}, context)

    assert counts == {"letters sent again": 1, "letters kept": 1}
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


def test_a_tick_tells_of_a_queue_that_has_spent_its_budget(
    context: Context,
    installation: Installation,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    limited = replace(installation.queues["default"], budget=DailyBudget(runs=2))
    system = replace(installation, queues={"default": limited})
    monkeypatch.setattr(scheduler, "from_environment", lambda: system)
    day = day_of(installation.clock.now_ms())
    add_spent("default", day, Spent(runs=1), system)
    assert _call({"do": "tick"}, context) == {}

    add_spent("default", day, Spent(runs=1), system)
    assert _call({"do": "tick"}, context) == {"queues paused": 1}

    (line,) = [vars(one) for one in caplog.records if one.levelname == "ERROR"]
    assert "2 runs is spent" in line["message"]
    assert (line["System"], line["Queue"], line["Paused"]) == ("memory", "default", [1.0])
    (metrics,) = line["_aws"]["CloudWatchMetrics"]
    assert metrics["Namespace"] == "remotejob"
    assert set(metrics["Dimensions"][0]) == {"System", "Queue"}


def test_budgets_that_cannot_be_read_keep_no_tick_from_its_work(
    context: Context, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = replace(installation.queues["default"], budget=DailyBudget(runs=2))
    store = _NoItems(installation.store)
    system = replace(installation, queues={"default": limited}, store=store)
    monkeypatch.setattr(scheduler, "from_environment", lambda: system)
    RemoteJob(installation).queue().submit("keep", delay=timedelta(seconds=30))

    assert "queues paused" not in _call({"do": "tick"}, context)


class _NoItems:
    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def item(self, key: object) -> None:
        raise ConnectionError(f"no answer about {key}")


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


RULES = WorkersDescription(
    cluster="c",
    service="s",
    min_workers=0,
    max_workers=10,
    jobs_at_a_time=4,
    idle=timedelta(minutes=5),
    capacity=(),
)


@pytest.fixture
def fleet(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> MemoryFleet:
    made = MemoryFleet({"default": RULES})
    system = replace(installation, fleet=made)
    monkeypatch.setattr(scheduler, "from_environment", lambda: system)
    return made


def _workers(fleet: MemoryFleet) -> int:
    status = fleet.status("default")
    assert status is not None
    return status.desired


def test_a_tick_scales_the_workers(
    context: Context, installation: Installation, fleet: MemoryFleet
) -> None:
    for _ in range(5):
        RemoteJob(installation).queue().submit("keep")
    assert _call({"do": "tick"}, context)["scaled"] == 1
    assert _workers(fleet) == 2


def test_what_becomes_due_finds_its_workers_starting(
    context: Context, installation: Installation, clock: FakeClock, fleet: MemoryFleet
) -> None:
    """The tick that sends it counts it, too."""
    RemoteJob(installation).queue().submit("keep", delay=timedelta(hours=1))
    clock.advance(timedelta(hours=2))
    _call({"do": "tick"}, context)
    assert _workers(fleet) == 1


def test_a_nudge_scales_and_does_nothing_else(
    context: Context,
    installation: Installation,
    clock: FakeClock,
    fleet: MemoryFleet,
    pending: Pending,
) -> None:
    RemoteJob(installation).queue().submit("keep", delay=timedelta(hours=1))
    clock.advance(timedelta(hours=2))
    assert _call({"do": "scale", "queues": ["default"]}, context) == {"scaled": 1}
    assert _workers(fleet) == 1
    assert pending(Channel.NORMAL) == []


@pytest.mark.parametrize("queues", [None, "default", [1], {}])
def test_a_nudge_names_its_queues(queues: object, context: Context, fleet: MemoryFleet) -> None:
    with pytest.raises(ValueError, match="give a list of names of queues"):
        _call({"do": "scale", "queues": queues}, context)


def test_scaling_that_fails_keeps_no_tick_from_its_work(
    context: Context,
    installation: Installation,
    clock: FakeClock,
    fleet: MemoryFleet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("no answer")

    monkeypatch.setattr(scheduler, "scale", fail)
    RemoteJob(installation).queue().submit("keep", delay=timedelta(hours=1))
    clock.advance(timedelta(hours=2))
    counts = _call({"do": "tick"}, context)
    assert counts["sent"] == 1
    assert counts["scaling failed"]


def _stopped(number: int, now_ms: int, **facts: Any) -> StoppedTask:
    return StoppedTask(id=str(number), at_ms=now_ms, reason="it ended", **facts)


@pytest.mark.parametrize(
    ("facts", "metric", "said"),
    [
        ({"code": "TaskFailedToStart"}, "FailedStarts", "fail to start: it ended"),
        (
            {"code": "EssentialContainerExited", "started_at_ms": 1, "exit_code": 137},
            "WorkerCrashes",
            "crash: 4 within 15 minutes, the last one: it ended; exit code 137",
        ),
    ],
)
def test_workers_that_fail_are_a_metric_and_a_line(
    facts: dict[str, Any],
    metric: str,
    said: str,
    context: Context,
    installation: Installation,
    fleet: MemoryFleet,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = installation.clock.now_ms()
    failed = tuple(_stopped(number, now - number, **facts) for number in range(4))
    RemoteJob(installation).queue().submit("keep")
    fleet.put("default", FleetStatus(desired=2, running=2, pending=0), stopped=failed)
    _call({"do": "tick"}, context)
    written = _metrics(capsys)
    assert written[metric] == {metric: [4.0], "System": installation.name}
    assert written["Workers"]["Queue"] == "default"
    assert set(written) == {metric, "Workers"}
    assert said in caplog.text


def _metrics(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    """What was written of each metric."""
    lines = [json.loads(one) for one in capsys.readouterr().out.splitlines() if "_aws" in one]
    return {
        line["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Name"]: {
            name: value for name, value in line.items() if name != "_aws"
        }
        for line in lines
    }


def test_an_idle_system_writes_no_metric(
    context: Context, fleet: MemoryFleet, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _call({"do": "tick"}, context) == {}
    assert _metrics(capsys) == {}
