"""Task protection, asked of an agent that records, refuses, hangs, or is not there."""

from __future__ import annotations

import logging
import math
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from remotejob.backends.clock import SystemClock
from remotejob.testing import FakeClock
from remotejob.worker.lifecycle.ecs_protection import SPAN, Protection
from remotejob.worker.lifecycle.protection_policy import FRESH, QUIET, ProtectionPolicy
from tests.worker.lifecycle.agent import TASK_NOT_VALID, THROTTLED, Agent, agent

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
ON = {"ProtectionEnabled": True, "ExpiresInMinutes": 15}
OFF = {"ProtectionEnabled": False}
GRACE = timedelta(seconds=100)


@pytest.fixture
def ecs() -> Iterator[Agent]:
    with agent() as made:
        yield made


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def live(protection: Protection, clock: FakeClock, span: timedelta) -> None:
    """Let time go by, step by step as the thread would take them."""
    end = clock.monotonic() + span.total_seconds()
    while (left := end - clock.monotonic()) > 0:
        pause = protection.step()
        # a millisecond more: the clock knows no less, and a pause that rounds to 0 has no end
        clock.advance(timedelta(milliseconds=1) + timedelta(seconds=min(left, pause)))


def test_protection_is_asked_for_at_the_edges_alone(ecs: Agent, clock: FakeClock) -> None:
    protection = Protection(ecs.uri, clock)
    live(protection, clock, MINUTE)
    assert ecs.all_asked() == []
    protection.protect()
    live(protection, clock, MINUTE)
    protection.protect()
    live(protection, clock, MINUTE)
    assert ecs.all_asked() == [ON]
    protection.unprotect()
    live(protection, clock, MINUTE)
    protection.unprotect()
    live(protection, clock, timedelta(hours=5))
    assert ecs.all_asked() == [OFF]


def test_protection_is_renewed_long_before_it_ends(ecs: Agent, clock: FakeClock) -> None:
    protection = Protection(ecs.uri, clock)
    protection.protect()
    live(protection, clock, timedelta(hours=1))
    asked = ecs.all_asked()
    assert asked == [ON] * 8
    assert timedelta(hours=1) / len(asked) < SPAN * 0.6


def test_many_changes_make_few_calls(ecs: Agent, clock: FakeClock) -> None:
    protection = Protection(ecs.uri, clock)
    for _ in range(300):
        protection.protect()
        live(protection, clock, SECOND)
        protection.unprotect()
        live(protection, clock, SECOND)
    assert len(ecs.all_asked()) <= 600 / 10 + 1


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (200, TASK_NOT_VALID, "TASK_NOT_VALID: None"),
        (400, THROTTLED, "ThrottlingException: Rate exceeded"),
        (500, {}, "status 500: {}"),
        (200, {"protection": {"ProtectionEnabled": False}}, "status 200:"),
        (200, {"protection": None}, "status 200:"),
    ],
)
def test_refusal_is_understood_logged_rarely_and_retried_ever_later(
    ecs: Agent,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
    status: int,
    answer: dict[str, Any],
    said: str,
) -> None:
    protection = Protection(ecs.uri, clock)
    ecs.refuses_with = status, answer
    protection.protect()
    live(protection, clock, timedelta(hours=1))

    assert 10 <= len(ecs.all_asked()) <= 30
    lines = [line for line in caplog.records if line.levelno >= logging.WARNING]
    assert 1 < len(lines) <= 10
    assert said in lines[0].message

    caplog.set_level(logging.INFO)
    ecs.refuses_with = None
    live(protection, clock, timedelta(minutes=6))
    assert ecs.all_asked() == [ON]
    assert "can have ECS protect this task" in caplog.text


def test_end_that_is_refused_is_tried_again_until_the_protection_is_over_by_itself(
    ecs: Agent, clock: FakeClock
) -> None:
    protection = Protection(ecs.uri, clock)
    protection.protect()
    live(protection, clock, MINUTE)
    ecs.refuses_with = 400, THROTTLED
    protection.unprotect()
    live(protection, clock, SPAN)
    assert ecs.all_asked()[:3] == [ON, OFF, OFF]
    live(protection, clock, timedelta(hours=1))
    assert ecs.all_asked() == []
    assert protection.step() == math.inf


def test_protection_granted_in_an_answer_that_was_lost_is_ended(
    ecs: Agent, clock: FakeClock
) -> None:
    protection = Protection(ecs.uri, clock)
    ecs.refuses_with = 500, {}
    protection.protect()
    live(protection, clock, SECOND)
    ecs.refuses_with = None
    protection.unprotect()
    live(protection, clock, MINUTE)
    assert ecs.all_asked() == [ON, OFF]


def test_absent_agent_harms_nothing(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    protection = Protection(f"http://127.0.0.1:{port}", clock)
    protection.protect()
    live(protection, clock, timedelta(minutes=1))
    assert "ConnectionRefusedError" in caplog.text


def test_agent_that_hangs_holds_up_neither_work_nor_end(
    ecs: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    ecs.hangs.set()
    protection = Protection(ecs.uri, SystemClock())
    protection.start()
    protection.protect()
    assert ecs.asked.get(timeout=30) == ON
    # the thread waits for the answer; the caller waits for nothing
    protection.unprotect()
    protection.protect()
    protection.close(timedelta(0))
    assert protection._thread is not None
    assert protection._thread.is_alive()

    ecs.lets_go.set()
    protection._thread.join(30)
    assert not protection._thread.is_alive()
    assert ecs.all_asked() == [OFF], "closed during a call, it ends what the call began"


def test_hanging_call_is_given_up(
    ecs: Agent, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("remotejob.worker.lifecycle.ecs_protection._TIMEOUT", 0.05)
    ecs.hangs.set()
    protection = Protection(ecs.uri, clock)
    protection.protect()
    protection.step()
    assert "TimeoutError" in caplog.text


def test_thread_carries_out_what_is_wanted_and_closing_ends_it(ecs: Agent) -> None:
    protection = Protection(ecs.uri, SystemClock())
    protection.start()
    protection.protect()
    assert ecs.asked.get(timeout=30) == ON
    # neither the gap between two calls nor anything else keeps the end waiting
    protection.close(timedelta(seconds=30))
    assert ecs.asked.get(timeout=30) == OFF


def test_worker_without_an_agent_loads_nothing_of_this() -> None:
    program = (
        "import os, sys; os.environ.pop('ECS_AGENT_URI', None); "
        "from remotejob.container.main import _protection; "
        "assert _protection() is None; "
        "print('remotejob.worker.lifecycle.ecs_protection' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout == "False\n"


def needed(need: ProtectionPolicy, clock: FakeClock, span: timedelta, *began: float) -> list[bool]:
    """What is needed in each second of a time in which those runs go on."""
    found = []
    for _ in range(int(span.total_seconds())):
        found.append(need.look(clock.monotonic(), began))
        clock.advance(SECOND)
    return found


def test_busy_worker_needs_protection_and_an_idle_one_none_after_a_moment(clock: FakeClock) -> None:
    need = ProtectionPolicy(grace=GRACE)
    assert not any(needed(need, clock, MINUTE))
    assert all(needed(need, clock, MINUTE, clock.monotonic()))
    assert all(needed(need, clock, QUIET))
    assert not any(needed(need, clock, MINUTE))


def test_moments_between_jobs_do_not_end_protection(clock: FakeClock) -> None:
    need = ProtectionPolicy(grace=GRACE)
    for _ in range(20):
        assert all(needed(need, clock, 5 * SECOND, clock.monotonic()))
        assert all(needed(need, clock, QUIET - SECOND))


def test_long_run_is_protected_to_its_end(clock: FakeClock) -> None:
    need = ProtectionPolicy(grace=GRACE)
    assert all(needed(need, clock, timedelta(hours=12), clock.monotonic()))


def test_stream_of_jobs_that_end_within_the_stop_timeout_is_not_protected_for_ever(
    clock: FakeClock,
) -> None:
    """Else a deployment would wait for as long as there is work."""
    need = ProtectionPolicy(grace=GRACE)
    found = [one for _ in range(20) for one in needed(need, clock, MINUTE, clock.monotonic())]
    assert found == [True] * int(FRESH.total_seconds()) + [False] * int(
        (20 * MINUTE - FRESH).total_seconds()
    )
    began = clock.monotonic()
    long = needed(need, clock, timedelta(hours=1), began)
    assert all(long[int(GRACE.total_seconds()) + 1 :])
    assert not any(long[: int(GRACE.total_seconds())])
